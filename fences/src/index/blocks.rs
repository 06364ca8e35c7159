//! What cells hold, each cell's in one piece of one arena, so that a look reads
//! neighbouring memory and a change allocates nothing.
//!
//! A block is a head, the fences that cover the cell (four to a row), then the
//! pieces, each as a head and its numbers. Blocks have 1, 2, 3, 4, 6, 8, 12, ... rows.

use super::piece::{Kind, Numbers};

/// What one cell holds, taken out to be changed.
#[derive(Clone, Default)]
pub(super) struct Content {
    /// Fences that cover the cell, but not the one around it.
    pub(super) covering: Vec<u32>,
    /// Pieces, each as a head and its numbers.
    pub(super) pieces: Vec<Numbers>,
}

impl Content {
    pub(super) fn is_empty(&self) -> bool {
        self.covering.is_empty() && self.pieces.is_empty()
    }
}

/// What stands before a piece's numbers, itself as a row of them: whole numbers
/// of 32 bits are exact in a float.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) fence: u32,
    pub(super) count: usize,
    pub(super) kind: Kind,
}

impl Head {
    pub(super) fn pack(self) -> Numbers {
        let kind = match self.kind {
            Kind::Area { inside: false } => 0.0,
            Kind::Area { inside: true } => 1.0,
            Kind::Circle => 2.0,
            Kind::Corridor => 3.0,
        };
        [f64::from(self.fence), self.count as f64, kind, 0.0]
    }

    fn unpack([fence, count, kind, _]: Numbers) -> Self {
        Self {
            fence: fence as u32,
            count: count as usize,
            kind: match kind as u32 {
                0 => Kind::Area { inside: false },
                1 => Kind::Area { inside: true },
                2 => Kind::Circle,
                _ => Kind::Corridor,
            },
        }
    }
}

/// The pieces one after the other.
pub(super) fn pieces(mut rest: &[Numbers]) -> impl Iterator<Item = (Head, &[Numbers])> {
    std::iter::from_fn(move || {
        let (head, after) = rest.split_first()?;
        let head = Head::unpack(*head);
        let (numbers, after) = after.split_at_checked(head.count)?;
        rest = after;
        Some((head, numbers))
    })
}

/// The arena. Block 0 is none.
pub(super) struct Blocks {
    rows: Vec<Numbers>,
    /// First rows of unused blocks, by the class of their length.
    free: Vec<Vec<u32>>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            rows: vec![[0.0; 4]],
            free: vec![Vec::new(); 2 * u32::BITS as usize],
        }
    }
}

const COVERING_PER_ROW: usize = 4;

/// The class of the shortest blocks that have `rows`, and how many those have.
fn class_of(rows: usize) -> (usize, usize) {
    let power = rows.next_power_of_two();
    let class = 2 * power.trailing_zeros() as usize;
    match power / 4 * 3 {
        between if between >= rows => (class - 1, between),
        _ => (class, power),
    }
}

/// A block's head: how many fences cover the cell, how many rows the pieces have,
/// and the class of the block's length.
fn head_of(row: Numbers) -> (usize, usize, usize) {
    (row[0] as usize, row[1] as usize, row[2] as usize)
}

impl Blocks {
    /// What the block holds: rows of covering fences, their number, the pieces.
    pub(super) fn parts(&self, block: u32) -> (&[Numbers], usize, &[Numbers]) {
        let first = block as usize;
        let (covering, pieces, _) = head_of(self.rows[first]);
        let from = first + 1 + covering.div_ceil(COVERING_PER_ROW);
        (
            &self.rows[first + 1..from],
            covering,
            &self.rows[from..from + pieces],
        )
    }

    /// Appends the fences that cover the block's cell.
    pub(super) fn covering(rows: &[Numbers], count: usize, out: &mut Vec<u32>) {
        let fences = rows.as_flattened().iter().take(count);
        out.extend(fences.map(|fence| *fence as u32));
    }

    /// A copy of what the block holds.
    pub(super) fn take_out(&self, block: u32) -> Content {
        if block == 0 {
            return Content::default();
        }
        let (rows, count, pieces) = self.parts(block);
        let mut covering = Vec::with_capacity(count + 1);
        Self::covering(rows, count, &mut covering);
        Content {
            covering,
            pieces: pieces.to_vec(),
        }
    }

    /// Puts `content` in place of what `block` holds. Returns the block that it is
    /// in, 0 where there is nothing.
    pub(super) fn put_back(&mut self, block: u32, content: &Content) -> u32 {
        if content.is_empty() {
            self.give_back(block);
            return 0;
        }
        let covering = content.covering.chunks(COVERING_PER_ROW);
        let length = 1 + covering.len() + content.pieces.len();
        let (class, rows) = class_of(length);
        let is_same = block != 0 && head_of(self.rows[block as usize]).2 == class;
        let block = if is_same {
            block
        } else {
            self.give_back(block);
            self.new_block(class, rows)
        };
        let rows = &mut self.rows[block as usize..block as usize + length];
        rows[0] = [
            content.covering.len() as f64,
            content.pieces.len() as f64,
            class as f64,
            0.0,
        ];
        let (covered, pieces) = rows[1..].split_at_mut(covering.len());
        for (row, fences) in covered.iter_mut().zip(covering) {
            *row = [0.0; 4];
            for (place, fence) in row.iter_mut().zip(fences) {
                *place = f64::from(*fence);
            }
        }
        pieces.copy_from_slice(&content.pieces);
        block
    }

    fn new_block(&mut self, class: usize, rows: usize) -> u32 {
        if let Some(block) = self.free[class].pop() {
            return block;
        }
        let block = self.rows.len();
        if self.rows.capacity() < block + rows {
            // By less than the half that a vector takes by itself: it may be large.
            self.rows.reserve_exact(rows.max(block / 8));
        }
        self.rows.resize(block + rows, [0.0; 4]);
        block as u32
    }

    pub(super) fn give_back(&mut self, block: u32) {
        if block != 0 {
            let (_, _, class) = head_of(self.rows[block as usize]);
            self.free[class].push(block);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Numbers>()
    }
}
