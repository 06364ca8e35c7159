//! The segments around a place.
//!
//! Lines are cut into pieces no longer than a grid cell; a search visits the
//! cells around the place in rings and stops where no piece is near enough.
//! Distances are planar around the place: exact to a millimetre at 100 m.

use std::ops::Range;

use events::Location;

use crate::{Segment, SegmentIndex};

/// Metres per degree of latitude on the sphere that [`Location`] uses.
const M_PER_DEGREE: f64 = 111_195.08;
/// Half a street block: few pieces a cell, few cells a lookup.
const CELL_M: f64 = 60.0;
/// Beyond this many cells they grow, so that a country fits too.
const CELLS_MAX: f64 = 4e6;
const ONE_WAY: u32 = 1 << 31;

/// A straight piece; coordinates are degrees from the grid's south-west corner.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    x1: f32,
    y1: f32,
    x2: f32,
    y2: f32,
    start_m: f32,
    /// Segment number, and [`ONE_WAY`].
    segment: u32,
}

#[derive(Debug)]
pub(crate) struct Grid {
    west: f64,
    south: f64,
    cell_lon: f64,
    cell_lat: f64,
    columns: i32,
    rows: i32,
    starts: Vec<u32>,
    pieces: Vec<Piece>,
    /// The same lines by segment, not cut at cells.
    line_starts: Vec<u32>,
    lines: Vec<Piece>,
}

/// A place on the grid's plane, and the scale there.
pub(crate) struct Place {
    /// Degrees from the grid's south-west corner.
    x: f32,
    y: f32,
    /// Metres per degree of longitude here.
    kx: f32,
    /// The same place counted in cells.
    column: f64,
    row: f64,
    cell_x_m: f64,
    cell_y_m: f64,
}

impl Place {
    /// Metres east and north from another place to this one.
    pub fn from(&self, other: &Place) -> (f32, f32) {
        const KY: f32 = M_PER_DEGREE as f32;
        ((self.x - other.x) * self.kx, (self.y - other.y) * KY)
    }
}

/// Where a straight piece of a segment is nearest to a place.
pub(crate) struct Near {
    pub segment: SegmentIndex,
    pub one_way: bool,
    pub distance_m: f32,
    /// Metres along the segment.
    pub offset_m: f32,
    /// Unit vector (east, north) of the piece; zero where it has no length.
    pub direction: (f32, f32),
}

/// Where a segment is nearest to a place, by its whole straight pieces.
pub(crate) struct OnLine {
    /// Number of the piece.
    pub piece: usize,
    /// Share of the piece before it.
    pub along: f32,
    pub near: Near,
}

/// Looks at pieces, near ones first as far as the cells allow.
pub(crate) trait Visitor {
    /// Pieces further away than this are not wanted; may shrink as it goes.
    fn limit_m(&self) -> f32;
    /// A piece within the limit. A segment comes as often as it has pieces.
    fn visit(&mut self, near: &Near);
}

impl Grid {
    /// `bounds` is west, south, east, north of all `segments`.
    pub fn new(segments: &[Segment], bounds: [f64; 4]) -> Self {
        let [west, south, east, north] = bounds;
        let kx = M_PER_DEGREE * ((south + north) / 2.0).to_radians().cos().max(0.01);
        let area_m2 = ((east - west) * kx + CELL_M) * ((north - south) * M_PER_DEGREE + CELL_M);
        let cell_m = CELL_M.max((area_m2 / CELLS_MAX).sqrt());
        let (cell_lon, cell_lat) = (cell_m / kx, cell_m / M_PER_DEGREE);
        let columns = ((east - west) / cell_lon) as i32 + 1;
        let rows = ((north - south) / cell_lat) as i32 + 1;
        let mut grid = Self {
            west,
            south,
            cell_lon,
            cell_lat,
            columns,
            rows,
            starts: Vec::new(),
            pieces: Vec::new(),
            line_starts: vec![0],
            lines: Vec::new(),
        };
        grid.fill(segments, cell_m);
        grid
    }

    /// Goes over the lines twice, first to count: sorting pieces would take several times
    /// the memory that they take in the end.
    fn fill(&mut self, segments: &[Segment], cell_m: f64) {
        let mut starts = vec![0; (self.columns * self.rows) as usize + 1];
        self.each_piece(segments, cell_m, |cell, _| starts[cell + 1] += 1);
        for cell in 1..starts.len() {
            starts[cell] += starts[cell - 1];
        }
        let count = starts[starts.len() - 1] as usize;
        // Where the next piece of each cell goes: in the end, where those of the next begin.
        let mut next = starts.clone();
        let mut pieces = vec![Piece::default(); count];
        self.each_piece(segments, cell_m, |cell, piece| {
            pieces[next[cell] as usize] = piece;
            next[cell] += 1;
        });
        (self.starts, self.pieces) = (starts, pieces);
        let lines = segments.iter().map(|segment| segment.line.len() - 1);
        self.lines.reserve_exact(lines.sum());
        self.line_starts.reserve_exact(segments.len());
        for (index, segment) in segments.iter().enumerate() {
            for (from, to, start_m, _) in straights(segment) {
                let whole = self.piece(from, to, (0.0, 1.0), start_m, tag(index, segment));
                self.lines.push(whole);
            }
            self.line_starts.push(self.lines.len() as u32);
        }
    }

    /// Every piece of every segment in order, with each cell that it touches.
    fn each_piece(&self, segments: &[Segment], cell_m: f64, mut each: impl FnMut(usize, Piece)) {
        for (index, segment) in segments.iter().enumerate() {
            let tag = tag(index, segment);
            for (from, to, start_m, length_m) in straights(segment) {
                let parts = (length_m / cell_m).ceil().max(1.0);
                for part in 0..parts as u32 {
                    let (first, last) = (f64::from(part) / parts, f64::from(part + 1) / parts);
                    let start_m = start_m + length_m * first;
                    let piece = self.piece(from, to, (first, last), start_m, tag);
                    self.each_cell(&piece, |cell| each(cell, piece));
                }
            }
        }
    }

    /// The part of a straight line between two shares of it; `start_m` is where
    /// that part starts on the segment.
    fn piece(
        &self,
        from: Location,
        to: Location,
        (first, last): (f64, f64),
        start_m: f64,
        segment: u32,
    ) -> Piece {
        let x = |t: f64| from.longitude + (to.longitude - from.longitude) * t - self.west;
        let y = |t: f64| from.latitude + (to.latitude - from.latitude) * t - self.south;
        Piece {
            x1: x(first) as f32,
            y1: y(first) as f32,
            x2: x(last) as f32,
            y2: y(last) as f32,
            start_m: start_m as f32,
            segment,
        }
    }

    /// The cells that a piece may touch.
    fn each_cell(&self, piece: &Piece, mut each: impl FnMut(usize)) {
        let (x1, x2) = (f64::from(piece.x1), f64::from(piece.x2));
        let (y1, y2) = (f64::from(piece.y1), f64::from(piece.y2));
        let columns = self.column(x1.min(x2))..=self.column(x1.max(x2));
        for row in self.row(y1.min(y2))..=self.row(y1.max(y2)) {
            for column in columns.clone() {
                each((row * self.columns + column) as usize);
            }
        }
    }

    fn column(&self, x: f64) -> i32 {
        ((x / self.cell_lon).floor() as i32).clamp(0, self.columns - 1)
    }

    fn row(&self, y: f64) -> i32 {
        ((y / self.cell_lat).floor() as i32).clamp(0, self.rows - 1)
    }

    /// A place that may be anywhere, also outside or not a number.
    pub fn place(&self, location: Location) -> Place {
        self.place_at_scale(
            location,
            M_PER_DEGREE * location.latitude.to_radians().cos(),
        )
    }

    /// The same at the scale of another place, which is not far.
    pub fn place_near(&self, location: Location, other: &Place) -> Place {
        self.place_at_scale(location, f64::from(other.kx))
    }

    fn place_at_scale(&self, location: Location, kx: f64) -> Place {
        let x = location.longitude - self.west;
        let y = location.latitude - self.south;
        self.place_of((x, y), kx)
    }

    fn place_of(&self, (x, y): (f64, f64), kx: f64) -> Place {
        Place {
            x: x as f32,
            y: y as f32,
            kx: kx as f32,
            column: x / self.cell_lon,
            row: y / self.cell_lat,
            cell_x_m: self.cell_lon * kx,
            cell_y_m: self.cell_lat * M_PER_DEGREE,
        }
    }

    /// Shows the pieces around a place to a visitor, in rings of cells.
    pub fn search(&self, place: &Place, visitor: &mut impl Visitor) {
        let (column, row) = (place.column.floor(), place.row.floor());
        // How far the place is from the edges of its own cell.
        let (inside_x, inside_y) = (place.column - column, place.row - row);
        let slack_m = (inside_x.min(1.0 - inside_x) * place.cell_x_m)
            .min(inside_y.min(1.0 - inside_y) * place.cell_y_m);
        let smallest_m = place.cell_x_m.min(place.cell_y_m);
        let beyond = |low: f64, high: i32| (-low).max(low - f64::from(high - 1)).max(0.0);
        let first = beyond(column, self.columns).max(beyond(row, self.rows));
        let farthest = column
            .max(f64::from(self.columns) - column)
            .max(row.max(f64::from(self.rows) - row));
        let mut ring = first;
        loop {
            let nearest_possible_m = if ring > 0.0 {
                (ring - 1.0) * smallest_m + slack_m
            } else {
                0.0
            };
            // Written so that a NaN anywhere ends the search.
            let may_be_nearer = nearest_possible_m <= f64::from(visitor.limit_m());
            if !may_be_nearer || ring > farthest {
                return;
            }
            self.visit_ring(column as i32, row as i32, ring as i32, place, visitor);
            ring += 1.0;
        }
    }

    fn visit_ring(
        &self,
        column: i32,
        row: i32,
        ring: i32,
        place: &Place,
        visitor: &mut impl Visitor,
    ) {
        let (left, right) = (column - ring, column + ring);
        for at in (row - ring).max(0)..=(row + ring).min(self.rows - 1) {
            if at == row - ring || at == row + ring {
                for column in left.max(0)..=right.min(self.columns - 1) {
                    self.visit_cell(column, at, place, visitor);
                }
                continue;
            }
            for column in [left, right] {
                if (0..self.columns).contains(&column) {
                    self.visit_cell(column, at, place, visitor);
                }
            }
        }
    }

    fn visit_cell(&self, column: i32, row: i32, place: &Place, visitor: &mut impl Visitor) {
        for piece in self.cell(column, row, place, visitor.limit_m()) {
            if let Some(near) = piece.near(place, visitor.limit_m()) {
                visitor.visit(&near);
            }
        }
    }

    /// The pieces of a cell, or none where it is farther away than `limit_m`.
    #[inline]
    fn cell(&self, column: i32, row: i32, place: &Place, limit_m: f32) -> &[Piece] {
        // Most cells of a ring are further away than what was found already.
        let outside = |at: f64, cell: i32| {
            (f64::from(cell) - at)
                .max(at - f64::from(cell + 1))
                .max(0.0)
        };
        let away_x_m = outside(place.column, column) * place.cell_x_m;
        let away_y_m = outside(place.row, row) * place.cell_y_m;
        // A millimetre covers single precision.
        let limit_m = f64::from(limit_m) + 1e-3;
        if away_x_m * away_x_m + away_y_m * away_y_m > limit_m * limit_m {
            return &[];
        }
        let cell = (row * self.columns + column) as usize;
        &self.pieces[self.starts[cell] as usize..self.starts[cell + 1] as usize]
    }

    /// The pieces of a segment that a search with that limit surely visits where its line
    /// is nearest.
    pub fn surely_visited(
        &self,
        on: &OnLine,
        place: &Place,
        limit_m: f32,
    ) -> impl Iterator<Item = Near> {
        // A little less, so that no rounding keeps a search from the cell.
        let limit_m = (limit_m - 2e-3).max(0.0);
        let line = &self.lines[on.piece];
        let (x, y) = line.at(on.along);
        let cell = self.cell(self.column(x), self.row(y), place, limit_m);
        let own = cell
            .iter()
            .filter(move |piece| piece.segment == line.segment);
        own.filter_map(move |piece| piece.near(place, limit_m))
    }

    /// Where the part of a segment between two offsets is nearest to a place.
    /// Panics where the segment is of another network.
    pub fn near_segment(
        &self,
        segment: SegmentIndex,
        between_m: (f32, f32),
        place: &Place,
    ) -> Option<OnLine> {
        let pieces = self.line(segment);
        let line = &self.lines[pieces.clone()];
        // The last piece that starts before the part begins holds its beginning.
        let first = line
            .partition_point(|piece| piece.start_m <= between_m.0)
            .saturating_sub(1);
        let mut limit_m = f32::INFINITY;
        let mut nearest = None;
        for (at, piece) in line.iter().enumerate().skip(first) {
            if piece.start_m > between_m.1 {
                break;
            }
            if let Some(foot) = piece.foot(place, limit_m) {
                limit_m = foot.distance2.sqrt();
                nearest = Some((at, foot));
            }
        }
        let (at, foot) = nearest?;
        Some(OnLine {
            piece: pieces.start + at,
            along: foot.along,
            near: line[at].near_at(&foot),
        })
    }

    /// The numbers of a segment's whole straight pieces, in their order.
    fn line(&self, segment: SegmentIndex) -> Range<usize> {
        let at = segment.as_usize();
        self.line_starts[at] as usize..self.line_starts[at + 1] as usize
    }

    /// How many whole straight pieces there are.
    pub fn piece_count(&self) -> usize {
        self.lines.len()
    }

    /// About how long a whole straight piece is, metres.
    pub fn piece_length_m(&self, piece: usize) -> f32 {
        let piece = &self.lines[piece];
        let kx = self.scale_at(f64::from(piece.y1)) as f32;
        ((piece.x2 - piece.x1) * kx).hypot((piece.y2 - piece.y1) * M_PER_DEGREE as f32)
    }

    /// The place at that share of a whole straight piece, and the piece's segment.
    pub fn place_on(&self, piece: usize, along: f32) -> (SegmentIndex, Place) {
        let piece = &self.lines[piece];
        let (x, y) = piece.at(along);
        let segment = SegmentIndex(piece.segment & !ONE_WAY);
        (segment, self.place_of((x, y), self.scale_at(y)))
    }

    /// How far off a place may be for being kept in single precision, metres.
    pub fn precision_m(&self) -> f32 {
        let degrees =
            (f64::from(self.columns) * self.cell_lon).max(f64::from(self.rows) * self.cell_lat);
        (degrees * M_PER_DEGREE) as f32 * f32::EPSILON
    }

    /// Metres per degree of longitude so many degrees north of the grid's corner.
    fn scale_at(&self, y: f64) -> f64 {
        M_PER_DEGREE * (self.south + y).to_radians().cos()
    }
}

/// The number of a segment, and [`ONE_WAY`].
fn tag(index: usize, segment: &Segment) -> u32 {
    index as u32 | if segment.one_way { ONE_WAY } else { 0 }
}

/// The straight lines of a segment: from, to, where each starts and how long it is, metres.
fn straights(segment: &Segment) -> impl Iterator<Item = (Location, Location, f64, f64)> {
    let mut next_m = 0.0;
    segment.line.windows(2).map(move |pair| {
        let (start_m, length_m) = (next_m, pair[0].distance_m(pair[1]));
        next_m += length_m;
        (pair[0], pair[1], start_m, length_m)
    })
}

/// East and north of a heading in degrees clockwise from north.
pub(crate) fn unit(heading_deg: f64) -> (f32, f32) {
    // The remainder takes longer than all the rest.
    let degrees = match (0.0..360.0).contains(&heading_deg) {
        true => heading_deg,
        false => heading_deg.rem_euclid(360.0),
    };
    let (sin, cos) = (degrees as f32).to_radians().sin_cos();
    (sin, cos)
}

/// Where a straight piece is nearest to a place.
struct Foot {
    /// Share of the piece before it.
    along: f32,
    distance2: f32,
    /// The piece, metres east and north.
    line: (f32, f32),
    length2: f32,
}

impl Piece {
    /// The place at that share of it.
    fn at(&self, along: f32) -> (f64, f64) {
        let x = self.x1 + (self.x2 - self.x1) * along;
        let y = self.y1 + (self.y2 - self.y1) * along;
        (f64::from(x), f64::from(y))
    }

    #[inline]
    fn foot(&self, place: &Place, limit_m: f32) -> Option<Foot> {
        const KY: f32 = M_PER_DEGREE as f32;
        let (dx, dy) = ((self.x2 - self.x1) * place.kx, (self.y2 - self.y1) * KY);
        let (px, py) = ((place.x - self.x1) * place.kx, (place.y - self.y1) * KY);
        let length2 = dx * dx + dy * dy;
        let along = if length2 > 0.0 {
            ((px * dx + py * dy) / length2).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let (ex, ey) = (px - dx * along, py - dy * along);
        let distance2 = ex * ex + ey * ey;
        // Also where either is not a number.
        let is_within = distance2 <= limit_m * limit_m;
        is_within.then_some(Foot {
            along,
            distance2,
            line: (dx, dy),
            length2,
        })
    }

    #[inline]
    fn near_at(&self, foot: &Foot) -> Near {
        let length = foot.length2.sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        Near {
            segment: SegmentIndex(self.segment & !ONE_WAY),
            one_way: self.segment & ONE_WAY != 0,
            distance_m: foot.distance2.sqrt(),
            offset_m: self.start_m + foot.along * length,
            direction: (foot.line.0 * scale, foot.line.1 * scale),
        }
    }

    #[inline]
    fn near(&self, place: &Place, limit_m: f32) -> Option<Near> {
        self.foot(place, limit_m).map(|foot| self.near_at(&foot))
    }
}

impl Near {
    /// Cosine of the turn from a heading to the piece as it is drawn.
    pub fn agreement(&self, heading: (f32, f32)) -> f32 {
        heading.0 * self.direction.0 + heading.1 * self.direction.1
    }
}
