//! A shape within a cell: what is left to be checked there.
//!
//! Coming from the whole shape to a cell and on to smaller ones, sides that no
//! point of the cell can be told apart by are dropped, so that most cells hold a
//! few sides or none. What is dropped never changes an answer.

use events::Location;

use super::METRES_PER_DEGREE;
use super::cell::Rect;

/// Products of rounded differences may be off by this much of their size.
const ROUNDING: f64 = 4.0 * f64::EPSILON;
/// Metres by which distances of whole cells are taken too far, for safety.
const SLACK_M: f64 = 0.05;

/// How a piece is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By crossings; `inside` is the answer where none is crossed.
    Area { inside: bool },
    /// By distance from a point.
    Circle,
    /// By distance from lines; the first of its numbers is half the width.
    Corridor,
}

/// Four numbers of a piece: a side of an area or corridor as x and y of both its
/// ends in degrees, or a circle as the unit vector of its centre and the squared
/// chord of its radius.
pub(super) type Numbers = [f64; 4];

/// A piece of a shape.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) numbers: Vec<Numbers>,
}

/// What a piece is to a cell.
pub(super) enum Cover {
    /// No point of the cell is in it.
    None,
    /// Every point of the cell is in it.
    All,
    /// To be checked with what is left.
    Part(Piece),
}

/// A point to be checked, with what circles and corridors need of it.
pub(super) struct Probe {
    x: f64,
    y: f64,
    /// Computed when first needed: only circles and corridors do.
    direction: Option<[f64; 3]>,
    shrunk: Option<f64>,
}

impl Probe {
    pub(super) fn new(location: Location) -> Self {
        Self {
            x: location.longitude,
            y: location.latitude,
            direction: None,
            shrunk: None,
        }
    }

    /// Whether the point is in the piece.
    pub(super) fn is_in(&mut self, kind: Kind, numbers: &[Numbers]) -> bool {
        match kind {
            Kind::Area { inside } => is_in_area(inside, numbers, self.x, self.y),
            Kind::Circle => {
                let (x, y) = (self.x, self.y);
                let [px, py, pz] = *self.direction.get_or_insert_with(|| direction_of(x, y));
                numbers.iter().any(|[cx, cy, cz, chord_squared]| {
                    let (dx, dy, dz) = (px - cx, py - cy, pz - cz);
                    dx * dx + dy * dy + dz * dz <= *chord_squared
                })
            }
            Kind::Corridor => {
                let y = self.y;
                let shrunk = *self.shrunk.get_or_insert_with(|| y.to_radians().cos());
                let Some(([half_width_m, ..], sides)) = numbers.split_first() else {
                    return false;
                };
                let limit = half_width_m * half_width_m;
                sides
                    .iter()
                    .any(|side| distance_squared_m2(side, self.x, self.y, shrunk) <= limit)
            }
        }
    }
}

/// The unit vector of a place.
fn direction_of(longitude: f64, latitude: f64) -> [f64; 3] {
    let (sin_lon, cos_lon) = longitude.to_radians().sin_cos();
    let (sin_lat, cos_lat) = latitude.to_radians().sin_cos();
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
}

/// A circle's numbers. Chords grow with distances, so comparing the squares of
/// chords is comparing great-circle distances.
pub(super) fn circle(center: Location, radius_m: f64) -> Piece {
    let [x, y, z] = direction_of(center.longitude, center.latitude);
    let earth_radius_m = METRES_PER_DEGREE.to_degrees();
    let half_chord = (radius_m / (2.0 * earth_radius_m)).sin();
    Piece {
        kind: Kind::Circle,
        numbers: vec![[x, y, z, 4.0 * half_chord * half_chord]],
    }
}

/// Crossing number of a line from the point to the west. On a side is inside.
fn is_in_area(inside: bool, sides: &[Numbers], x: f64, y: f64) -> bool {
    let mut inside = inside;
    for [x1, y1, x2, y2] in sides {
        let (above1, above2) = (*y1 > y, *y2 > y);
        if above1 != above2 {
            let one = (x2 - x1) * (y - y1);
            let other = (x - x1) * (y2 - y1);
            let turn = one - other;
            if turn.abs() <= ROUNDING * (one.abs() + other.abs()) {
                return true;
            }
            // Of a side that goes up, the point is to the east where it turns right.
            inside ^= (turn < 0.0) == above2;
        } else if *y1 == y || *y2 == y {
            let level = *y1 == *y2 && (x1.min(*x2)..=x1.max(*x2)).contains(&x);
            if level || (*y1 == y && *x1 == x) || (*y2 == y && *x2 == x) {
                return true;
            }
        }
    }
    inside
}

/// From a side to a point, on the plane that touches the earth at its latitude,
/// on which a degree of longitude is `shrunk` times one of latitude.
fn distance_squared_m2(side: &Numbers, x: f64, y: f64, shrunk: f64) -> f64 {
    let [x1, y1, x2, y2] = side;
    let (dx, dy) = ((x2 - x1) * shrunk, y2 - y1);
    let (px, py) = ((x - x1) * shrunk, y - y1);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 {
        ((px * dx + py * dy) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let (ex, ey) = (px - along * dx, py - along * dy);
    (ex * ex + ey * ey) * METRES_PER_DEGREE * METRES_PER_DEGREE
}

impl Piece {
    /// The piece within a cell.
    pub(super) fn within(kind: Kind, numbers: &[Numbers], rect: &Rect) -> Cover {
        match kind {
            Kind::Area { inside } => area_within(inside, numbers, rect),
            Kind::Circle => circle_within(numbers, rect),
            Kind::Corridor => corridor_within(numbers, rect),
        }
    }
}

/// What a side can do to the answer for points of a cell.
enum Side {
    /// Nothing.
    Drop,
    /// It is to the west of all of them: only their latitude matters.
    West,
    Keep,
}

fn side_in(side: &Numbers, rect: &Rect) -> Side {
    let [x1, y1, x2, y2] = side;
    if y1.max(*y2) < rect.south || y1.min(*y2) > rect.north || x1.min(*x2) > rect.east {
        return Side::Drop;
    }
    if x1.max(*x2) < rect.west {
        return Side::West;
    }
    let (mut left, mut right) = (true, true);
    for [x, y] in rect.corners() {
        let one = (x2 - x1) * (y - y1);
        let other = (x - x1) * (y2 - y1);
        let turn = one - other;
        let rounding = ROUNDING * (one.abs() + other.abs());
        left &= turn > rounding;
        right &= turn < -rounding;
    }
    match (left, right, y2.total_cmp(y1)) {
        (false, false, _) => Side::Keep,
        // A level side beside the cell crosses no line to the west.
        (_, _, std::cmp::Ordering::Equal) => Side::Drop,
        (left, _, up) if left == up.is_gt() => Side::Drop,
        _ => Side::West,
    }
}

fn area_within(inside: bool, sides: &[Numbers], rect: &Rect) -> Cover {
    let mut inside = inside;
    let mut kept = Vec::new();
    // Where answers change from one latitude to the next, west of the cell.
    let mut steps: Vec<f64> = Vec::new();
    for side in sides {
        match side_in(side, rect) {
            Side::Drop => {}
            Side::Keep => kept.push(*side),
            Side::West => {
                for y in [side[1], side[3]] {
                    if y > rect.north {
                        inside = !inside;
                    } else if y >= rect.south {
                        steps.push(y);
                    }
                }
            }
        }
    }
    add_steps(&mut inside, &mut kept, steps, rect);
    match (kept.is_empty(), inside) {
        (true, true) => Cover::All,
        (true, false) => Cover::None,
        (false, _) => Cover::Part(Piece {
            kind: Kind::Area { inside },
            numbers: kept,
        }),
    }
}

/// Two steps at the same latitude are none: the corners in the middle of what lies
/// to the west. The others become sides to the west, two steps each.
fn add_steps(inside: &mut bool, kept: &mut Vec<Numbers>, mut steps: Vec<f64>, rect: &Rect) {
    steps.sort_by(f64::total_cmp);
    let mut left: Vec<f64> = Vec::with_capacity(steps.len());
    for step in steps {
        match left.last() {
            Some(last) if *last == step => {
                left.pop();
            }
            _ => left.push(step),
        }
    }
    let west = rect.west - 1.0;
    for pair in left.chunks(2) {
        match pair {
            [from, to] => kept.push([west, *from, west, *to]),
            [only] => {
                // Up to above the cell, which is one step more for all its points.
                *inside = !*inside;
                kept.push([west, *only, west, rect.north + 1.0]);
            }
            _ => {}
        }
    }
}

fn circle_within(numbers: &[Numbers], rect: &Rect) -> Cover {
    let Some([cx, cy, cz, chord_squared]) = numbers.first() else {
        return Cover::None;
    };
    let distance = |from: [f64; 3], to: [f64; 3]| {
        let squares = from.iter().zip(&to).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f64>().sqrt()
    };
    let [x, y] = rect.center();
    let center = direction_of(x, y);
    let corners = rect.corners().into_iter();
    let reach = corners
        .map(|[x, y]| distance(center, direction_of(x, y)))
        .fold(0.0, f64::max);
    let slack = SLACK_M / METRES_PER_DEGREE.to_degrees();
    let reach = reach * 1.02 + slack;
    let away = distance(center, [*cx, *cy, *cz]);
    let radius = chord_squared.sqrt();
    if away > radius + reach {
        Cover::None
    } else if away + reach < radius {
        Cover::All
    } else {
        Cover::Part(Piece {
            kind: Kind::Circle,
            numbers: numbers.to_vec(),
        })
    }
}

fn corridor_within(numbers: &[Numbers], rect: &Rect) -> Cover {
    let Some((width, sides)) = numbers.split_first() else {
        return Cover::None;
    };
    let half_width_m = width[0];
    let shrunk_at = |latitude: f64| latitude.to_radians().cos();
    let (one, other) = (shrunk_at(rect.south), shrunk_at(rect.north));
    let equator = rect.south <= 0.0 && rect.north >= 0.0;
    let widest = if equator { 1.0 } else { one.max(other) };
    let narrowest = one.min(other).max(0.0);
    let [x, y] = rect.center();
    let half_east = (rect.east - rect.west) / 2.0 * widest;
    let half_north = (rect.north - rect.south) / 2.0;
    let reach_m = half_east.hypot(half_north) * METRES_PER_DEGREE + SLACK_M;
    let mut kept = vec![*width];
    for side in sides {
        // The ground at its narrowest for what is too far, at its widest for what
        // is near enough everywhere.
        let away_m = distance_squared_m2(side, x, y, narrowest).sqrt();
        if away_m > half_width_m + reach_m {
            continue;
        }
        let near = |[x, y]: [f64; 2]| {
            distance_squared_m2(side, x, y, widest).sqrt() + SLACK_M < half_width_m
        };
        if rect.corners().into_iter().all(near) {
            return Cover::All;
        }
        kept.push(*side);
    }
    match kept.len() {
        1 => Cover::None,
        _ => Cover::Part(Piece {
            kind: Kind::Corridor,
            numbers: kept,
        }),
    }
}
