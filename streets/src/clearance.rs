//! How far the other segments are, all along every segment.
//!
//! A vehicle in the middle of a block is on its street whatever else there is: with
//! no other street near enough nothing needs to be searched.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::SegmentIndex;
use crate::grid::{Grid, Near, OnLine, Visitor};

/// A straight piece is seen in stretches no longer than this.
const STRETCH_M: f32 = 8.0;
const STRETCHES_MAX: u32 = 100_000;
/// What is kept is whole steps of this, and one more: 0 was not measured yet.
const STEP_M: f32 = 0.125;
const STEPS_MAX: u8 = u8::MAX - 1;
/// A place that is projected to the end of a stretch may be off it by this much.
const SLACK_M: f32 = 0.05;

/// Measured stretch by stretch when it is first asked for, and kept: it follows from
/// the streets, so whoever measures it finds the same.
#[derive(Debug)]
pub(crate) struct Clearance {
    /// The first stretch of each whole straight piece.
    starts: Vec<u32>,
    stretches: Box<[AtomicU8]>,
}

impl Clearance {
    pub fn new(grid: &Grid) -> Self {
        let mut starts = vec![0];
        let mut count = 0;
        for piece in 0..grid.piece_count() {
            // At least one, also where the length is not a number.
            let stretches = (grid.piece_length_m(piece) / STRETCH_M).ceil() as u32;
            count += stretches.clamp(1, STRETCHES_MAX);
            starts.push(count);
        }
        Self {
            starts,
            stretches: (0..count).map(|_| AtomicU8::new(0)).collect(),
        }
    }

    /// No other segment is nearer than this to the place on the line, metres. Never
    /// more than about 32.
    pub fn around_m(&self, grid: &Grid, on: &OnLine) -> f32 {
        let (first, end) = (self.starts[on.piece], self.starts[on.piece + 1]);
        let count = end - first;
        let number = ((on.along * count as f32) as u32).min(count - 1);
        let stretch = &self.stretches[(first + number) as usize];
        let steps = match stretch.load(Ordering::Relaxed) {
            0 => {
                let measured = measure(grid, on.piece, number, count) + 1;
                stretch.store(measured, Ordering::Relaxed);
                measured
            }
            known => known,
        };
        f32::from(steps - 1) * STEP_M
    }
}

/// From the middle of the stretch, less the way to its ends.
fn measure(grid: &Grid, piece: usize, number: u32, count: u32) -> u8 {
    let (segment, middle) = grid.place_on(piece, (number as f32 + 0.5) / count as f32);
    let to_end_m = grid.piece_length_m(piece) / count as f32 / 2.0;
    let slack_m = to_end_m + SLACK_M + 8.0 * grid.precision_m();
    let mut others = Others {
        segment,
        nearest_m: f32::from(STEPS_MAX) * STEP_M + slack_m,
    };
    grid.search(&middle, &mut others);
    // What is negative, or not a number, becomes 0.
    (((others.nearest_m - slack_m) / STEP_M) as u8).min(STEPS_MAX)
}

/// The nearest of all segments but one.
struct Others {
    segment: SegmentIndex,
    nearest_m: f32,
}

impl Visitor for Others {
    fn limit_m(&self) -> f32 {
        self.nearest_m
    }

    fn visit(&mut self, near: &Near) {
        if near.segment != self.segment {
            self.nearest_m = self.nearest_m.min(near.distance_m);
        }
    }
}
