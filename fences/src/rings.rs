//! Whether rings bound an area: closed, without crossing themselves or each
//! other, holes within.

use std::cmp::Ordering;

use crate::error::Invalid;
use crate::shape::{Position, Ring, check_position};

/// Whether `rings`, an outline and its holes, are a polygon.
pub(crate) fn check_polygon(field: &str, rings: &[Ring]) -> Result<(), Invalid> {
    if rings.is_empty() {
        return Err(Invalid::new(field, "no ring", "at least an outline"));
    }
    for (index, ring) in rings.iter().enumerate() {
        check_ring(&format!("{field}[{index}]"), ring)?;
    }
    check_crossings(field, rings)?;
    for (index, hole) in rings.iter().enumerate().skip(1) {
        let name = format!("{field}[{index}]");
        if !lies_within(hole, &rings[0]) {
            let expected = "a hole inside the outline";
            return Err(Invalid::new(name, "a ring outside of it", expected));
        }
        let others = rings.iter().enumerate().skip(1);
        let nested = others
            .filter(|(other, _)| *other != index)
            .find(|(_, ring)| lies_within(hole, ring));
        if let Some((other, _)) = nested {
            let got = format!("a hole inside the hole {field}[{other}]");
            return Err(Invalid::new(name, got, "holes beside each other"));
        }
    }
    Ok(())
}

fn check_ring(field: &str, ring: &Ring) -> Result<(), Invalid> {
    for (index, position) in ring.iter().enumerate() {
        check_position(&format!("{field}[{index}]"), *position)?;
    }
    if ring.len() < 4 {
        let expected = "at least 4, the last being the first again";
        return Err(Invalid::new(
            field,
            format!("{} positions", ring.len()),
            expected,
        ));
    }
    let (first, last) = (ring[0], ring[ring.len() - 1]);
    if first != last {
        let got = format!("a ring from {:?} to {:?}", first.0, last.0);
        let expected = "a closed one: the last position is the first again";
        return Err(Invalid::new(field, got, expected));
    }
    if is_flat(ring) {
        return Err(Invalid::new(field, "a ring without an area", "one with"));
    }
    Ok(())
}

/// Whether all corners lie on one line.
fn is_flat(ring: &Ring) -> bool {
    let first = ring[0].0;
    let second = ring.iter().find(|position| position.0 != first);
    let on_line = |to: &Position| {
        let mut corners = ring.iter();
        corners.all(|corner| turn(first, to.0, corner.0) == Ordering::Equal)
    };
    second.is_none_or(on_line)
}

/// One side of a ring.
#[derive(Clone, Copy)]
struct Side {
    ring: usize,
    /// Its number in the ring, and how many the ring has.
    number: usize,
    count: usize,
    from: [f64; 2],
    to: [f64; 2],
}

impl Side {
    fn west(&self) -> f64 {
        self.from[0].min(self.to[0])
    }

    fn east(&self) -> f64 {
        self.from[0].max(self.to[0])
    }

    fn follows(&self, other: &Side) -> bool {
        self.ring == other.ring && self.number == (other.number + 1) % other.count
    }

    fn overlaps_in_latitude(&self, other: &Side) -> bool {
        let south = |side: &Side| side.from[1].min(side.to[1]);
        let north = |side: &Side| side.from[1].max(side.to[1]);
        south(self) <= north(other) && south(other) <= north(self)
    }
}

fn sides_of(rings: &[Ring]) -> Vec<Side> {
    let mut sides = Vec::new();
    for (index, ring) in rings.iter().enumerate() {
        let mut corners: Vec<_> = ring.iter().map(|position| position.0).collect();
        // A corner written twice is one corner.
        corners.dedup();
        let count = corners.len() - 1;
        let pairs = corners.windows(2).enumerate();
        sides.extend(pairs.map(|(number, pair)| Side {
            ring: index,
            number,
            count,
            from: pair[0],
            to: pair[1],
        }));
    }
    sides
}

/// Sweeps from west to east: only sides that overlap in longitude are compared.
fn check_crossings(field: &str, rings: &[Ring]) -> Result<(), Invalid> {
    let mut sides = sides_of(rings);
    sides.sort_by(|a, b| a.west().total_cmp(&b.west()));
    for (index, side) in sides.iter().enumerate() {
        let east = side.east();
        for other in sides[index + 1..].iter().take_while(|o| o.west() <= east) {
            if side.overlaps_in_latitude(other) && clash(side, other) {
                return Err(describe(field, side, other));
            }
        }
    }
    Ok(())
}

fn describe(field: &str, one: &Side, other: &Side) -> Invalid {
    let (first, second) = match (one.ring, one.number) <= (other.ring, other.number) {
        true => (one, other),
        false => (other, one),
    };
    let text = |side: &Side| format!("{:?} to {:?}", side.from, side.to);
    let crossing = match first.ring == second.ring {
        true => "meets itself",
        false => "crosses another",
    };
    Invalid {
        field: format!("{field}[{}]", second.ring),
        problem: format!(
            "got a ring that {crossing} where {} and {} meet, expected sides that do not cross",
            text(first),
            text(second)
        ),
    }
}

/// Whether two sides meet in a way that no polygon's may.
fn clash(a: &Side, b: &Side) -> bool {
    if a.follows(b) && b.follows(a) {
        return true;
    }
    if a.follows(b) {
        return turns_back(b, a);
    }
    if b.follows(a) {
        return turns_back(a, b);
    }
    let turns = [
        turn(a.from, a.to, b.from),
        turn(a.from, a.to, b.to),
        turn(b.from, b.to, a.from),
        turn(b.from, b.to, a.to),
    ];
    let apart = |one: Ordering, other: Ordering| one == other && one != Ordering::Equal;
    if apart(turns[0], turns[1]) || apart(turns[2], turns[3]) {
        return false;
    }
    let on_one_line = turns.iter().all(|turn| *turn == Ordering::Equal);
    if on_one_line {
        return share_more_than_a_point(a, b, a.ring == b.ring);
    }
    let touches = turns.contains(&Ordering::Equal);
    // A hole may touch the outline in a point; a ring may not touch itself.
    a.ring == b.ring || !touches
}

/// Of two sides on one line. With `or_one`, a common point is enough.
fn share_more_than_a_point(a: &Side, b: &Side, or_one: bool) -> bool {
    // The axis along which the line extends more.
    let axis = usize::from((a.to[0] - a.from[0]).abs() < (a.to[1] - a.from[1]).abs());
    let range = |side: &Side| {
        let (one, other) = (side.from[axis], side.to[axis]);
        (one.min(other), one.max(other))
    };
    let ((a_from, a_to), (b_from, b_to)) = (range(a), range(b));
    let (from, to) = (a_from.max(b_from), a_to.min(b_to));
    from < to || (or_one && from == to)
}

/// Whether the side after `first` lies on it.
fn turns_back(first: &Side, second: &Side) -> bool {
    let straight = turn(first.from, first.to, second.to) == Ordering::Equal;
    let ahead = (first.to[0] - first.from[0]) * (second.to[0] - second.from[0])
        + (first.to[1] - first.from[1]) * (second.to[1] - second.from[1]);
    straight && ahead < 0.0
}

/// On which side of the line from `a` to `b` lies `c`: greater is left. Equal
/// where rounding leaves it open.
fn turn(a: [f64; 2], b: [f64; 2], c: [f64; 2]) -> Ordering {
    let one = (b[0] - a[0]) * (c[1] - a[1]);
    let other = (c[0] - a[0]) * (b[1] - a[1]);
    let difference = one - other;
    if difference.abs() <= 4.0 * f64::EPSILON * (one.abs() + other.abs()) {
        return Ordering::Equal;
    }
    difference.total_cmp(&0.0)
}

/// Whether `inner`, which does not cross `outer`, lies inside: decided by a corner
/// that is not on `outer`.
fn lies_within(inner: &Ring, outer: &Ring) -> bool {
    inner
        .iter()
        .find_map(|corner| side_of(outer, corner.0))
        .unwrap_or(false)
}

/// Whether the point is inside; `None` on the ring.
fn side_of(ring: &Ring, point: [f64; 2]) -> Option<bool> {
    let mut inside = false;
    for pair in ring.windows(2) {
        let (a, b) = (pair[0].0, pair[1].0);
        let (low, high) = if a[1] <= b[1] { (a, b) } else { (b, a) };
        let turn = turn(low, high, point);
        let beside = (a[0].min(b[0])..=a[0].max(b[0])).contains(&point[0])
            && (low[1]..=high[1]).contains(&point[1]);
        if turn == Ordering::Equal && beside {
            return None;
        }
        let straddles = (a[1] > point[1]) != (b[1] > point[1]);
        inside ^= straddles && turn == Ordering::Greater;
    }
    Some(inside)
}
