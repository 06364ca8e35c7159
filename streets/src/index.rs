//! Which segment a fix is on.
//!
//! Lines are cut into pieces no longer than a grid cell; a lookup visits the
//! cells around the fix in rings and stops when no nearer piece is possible.
//! Distances are planar around the fix: exact to a millimetre at 100 m.

use events::Location;

use crate::{Segment, SegmentIndex};

/// The segment that a fix is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// The segment.
    pub segment: SegmentIndex,
    /// Metres from the fix to its line.
    pub distance_m: f64,
    /// Metres along its line, from `from_node`, to the point nearest to the fix.
    pub offset_m: f64,
}

/// Metres per degree of latitude on the sphere that [`Location`] uses.
const M_PER_DEGREE: f64 = 111_195.08;
/// Half a street block: few pieces a cell, few cells a lookup.
const CELL_M: f64 = 60.0;
/// Beyond this many cells they grow, so that a country fits too.
const CELLS_MAX: f64 = 4e6;
/// A street across the heading counts as this much further away, one that may
/// only be driven against the heading as twice this much.
const HEADING_PENALTY_M: f32 = 15.0;
const ONE_WAY: u32 = 1 << 31;

/// A straight piece; coordinates are degrees from the grid's south-west corner.
#[derive(Clone, Copy, Debug)]
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
}

struct Query {
    x: f32,
    y: f32,
    /// Metres per degree of longitude here.
    kx: f32,
    /// Unit vector of the heading.
    heading: Option<(f32, f32)>,
    max_m: f32,
}

struct Best {
    score: f32,
    found: Option<Match>,
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
        };
        grid.fill(segments, cell_m);
        grid
    }

    fn fill(&mut self, segments: &[Segment], cell_m: f64) {
        let mut placed: Vec<(u32, Piece)> = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let tag = index as u32 | if segment.one_way { ONE_WAY } else { 0 };
            let mut start_m = 0.0;
            for pair in segment.line.windows(2) {
                let length_m = pair[0].distance_m(pair[1]);
                self.place(
                    pair[0],
                    pair[1],
                    start_m,
                    length_m,
                    cell_m,
                    tag,
                    &mut placed,
                );
                start_m += length_m;
            }
        }
        placed.sort_by_key(|(cell, piece)| (*cell, piece.segment & !ONE_WAY));
        self.starts = vec![0; (self.columns * self.rows) as usize + 1];
        for (cell, _) in &placed {
            self.starts[*cell as usize + 1] += 1;
        }
        for cell in 1..self.starts.len() {
            self.starts[cell] += self.starts[cell - 1];
        }
        self.pieces = placed.into_iter().map(|(_, piece)| piece).collect();
    }

    #[allow(clippy::too_many_arguments)]
    fn place(
        &self,
        from: Location,
        to: Location,
        start_m: f64,
        length_m: f64,
        cell_m: f64,
        segment: u32,
        placed: &mut Vec<(u32, Piece)>,
    ) {
        let parts = (length_m / cell_m).ceil().max(1.0) as u32;
        let at = |part: u32| {
            let t = f64::from(part) / f64::from(parts);
            let x = from.longitude + (to.longitude - from.longitude) * t - self.west;
            let y = from.latitude + (to.latitude - from.latitude) * t - self.south;
            (x, y)
        };
        for part in 0..parts {
            let ((x1, y1), (x2, y2)) = (at(part), at(part + 1));
            let piece = Piece {
                x1: x1 as f32,
                y1: y1 as f32,
                x2: x2 as f32,
                y2: y2 as f32,
                start_m: (start_m + length_m * f64::from(part) / f64::from(parts)) as f32,
                segment,
            };
            let columns = self.column(x1.min(x2))..=self.column(x1.max(x2));
            for row in self.row(y1.min(y2))..=self.row(y1.max(y2)) {
                for column in columns.clone() {
                    placed.push(((row * self.columns + column) as u32, piece));
                }
            }
        }
    }

    fn column(&self, x: f64) -> i32 {
        ((x / self.cell_lon).floor() as i32).clamp(0, self.columns - 1)
    }

    fn row(&self, y: f64) -> i32 {
        ((y / self.cell_lat).floor() as i32).clamp(0, self.rows - 1)
    }

    pub fn nearest(
        &self,
        location: Location,
        heading_deg: Option<f64>,
        max_distance_m: f64,
    ) -> Option<Match> {
        let (x, y) = (
            location.longitude - self.west,
            location.latitude - self.south,
        );
        let kx = M_PER_DEGREE * location.latitude.to_radians().cos();
        let heading = heading_deg.map(|degrees| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            (sin as f32, cos as f32)
        });
        let query = Query {
            x: x as f32,
            y: y as f32,
            kx: kx as f32,
            heading,
            max_m: max_distance_m as f32,
        };
        let mut best = Best {
            score: f32::INFINITY,
            found: None,
        };
        let (column, row) = ((x / self.cell_lon).floor(), (y / self.cell_lat).floor());
        let (cell_x_m, cell_y_m) = (self.cell_lon * kx, self.cell_lat * M_PER_DEGREE);
        // How far the fix is from the edges of its own cell.
        let (inside_x, inside_y) = (x / self.cell_lon - column, y / self.cell_lat - row);
        let slack_m =
            (inside_x.min(1.0 - inside_x) * cell_x_m).min(inside_y.min(1.0 - inside_y) * cell_y_m);
        let smallest_m = cell_x_m.min(cell_y_m);
        let beyond = |low: f64, high: i32| (-low).max(low - f64::from(high - 1)).max(0.0);
        let first = beyond(column, self.columns).max(beyond(row, self.rows));
        let mut ring = first;
        loop {
            let nearest_possible_m = if ring > 0.0 {
                (ring - 1.0) * smallest_m + slack_m
            } else {
                0.0
            };
            let farthest = column
                .max(f64::from(self.columns) - column)
                .max(row.max(f64::from(self.rows) - row));
            // Written so that a NaN anywhere ends the search.
            let may_be_nearer = nearest_possible_m <= f64::from(best.score.min(query.max_m));
            if !may_be_nearer || ring > farthest {
                return best.found;
            }
            self.visit_ring(column as i32, row as i32, ring as i32, &query, &mut best);
            ring += 1.0;
        }
    }

    fn visit_ring(&self, column: i32, row: i32, ring: i32, query: &Query, best: &mut Best) {
        let (left, right) = (column - ring, column + ring);
        for at in (row - ring).max(0)..=(row + ring).min(self.rows - 1) {
            if at == row - ring || at == row + ring {
                for column in left.max(0)..=right.min(self.columns - 1) {
                    self.visit_cell(column, at, query, best);
                }
                continue;
            }
            for column in [left, right] {
                if (0..self.columns).contains(&column) {
                    self.visit_cell(column, at, query, best);
                }
            }
        }
    }

    fn visit_cell(&self, column: i32, row: i32, query: &Query, best: &mut Best) {
        // Most cells of a ring are further away than what was found already.
        let (x, y) = (
            f64::from(query.x) / self.cell_lon,
            f64::from(query.y) / self.cell_lat,
        );
        let outside = |at: f64, cell: i32| {
            (f64::from(cell) - at)
                .max(at - f64::from(cell + 1))
                .max(0.0)
        };
        let away_x_m = outside(x, column) * self.cell_lon * f64::from(query.kx);
        let away_y_m = outside(y, row) * self.cell_lat * M_PER_DEGREE;
        // A millimetre covers single precision.
        let limit_m = f64::from(best.score.min(query.max_m)) + 1e-3;
        if away_x_m * away_x_m + away_y_m * away_y_m > limit_m * limit_m {
            return;
        }
        let cell = (row * self.columns + column) as usize;
        let (start, end) = (self.starts[cell] as usize, self.starts[cell + 1] as usize);
        for piece in &self.pieces[start..end] {
            piece.compare(query, best);
        }
    }
}

impl Piece {
    fn compare(&self, query: &Query, best: &mut Best) {
        const KY: f32 = M_PER_DEGREE as f32;
        let (dx, dy) = ((self.x2 - self.x1) * query.kx, (self.y2 - self.y1) * KY);
        let (px, py) = ((query.x - self.x1) * query.kx, (query.y - self.y1) * KY);
        let length2 = dx * dx + dy * dy;
        let along = if length2 > 0.0 {
            ((px * dx + py * dy) / length2).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let (ex, ey) = (px - dx * along, py - dy * along);
        let distance2 = ex * ex + ey * ey;
        let limit = best.score.min(query.max_m);
        if distance2 > limit * limit {
            return;
        }
        let distance = distance2.sqrt();
        let length = length2.sqrt();
        let score = distance + self.heading_penalty_m(query, dx, dy, length);
        let segment = SegmentIndex(self.segment & !ONE_WAY);
        // Ties go to the lower number, so that the answer does not depend on
        // the order of the cells.
        let is_better = score < best.score
            || (score == best.score && best.found.is_some_and(|m| segment < m.segment));
        if is_better {
            let offset_m = f64::from(self.start_m + along * length);
            best.score = score;
            best.found = Some(Match {
                segment,
                distance_m: f64::from(distance),
                offset_m,
            });
        }
    }

    fn heading_penalty_m(&self, query: &Query, dx: f32, dy: f32, length: f32) -> f32 {
        let Some((hx, hy)) = query.heading else {
            return 0.0;
        };
        if length <= 0.0 {
            return 0.0;
        }
        let agreement = (hx * dx + hy * dy) / length;
        let agreement = if self.segment & ONE_WAY != 0 {
            agreement
        } else {
            agreement.abs()
        };
        HEADING_PENALTY_M * (1.0 - agreement)
    }
}
