//! The grid: degrees as 32-bit numbers, whose leading bits name a cell.

/// Leading bits of the coarsest cells: 0.35 by 0.18 degrees.
const ROOT_BITS: u32 = 10;
/// Bits by which a cell is divided: 4 by 4.
const CHILD_BITS: u32 = 2;
/// Cells in a cell.
pub(super) const CHILDREN: usize = 1 << (2 * CHILD_BITS);
/// Divisions at most: the finest cells are about a metre high.
pub(super) const DEPTH_MAX: u32 = 7;

const LONGITUDE_SCALE: f64 = 4_294_967_296.0 / 360.0;
const LATITUDE_SCALE: f64 = 4_294_967_296.0 / 180.0;
/// Added to a cell's sides, so that rounding puts no point outside of its cell.
const MARGIN_DEG: f64 = 1e-9;

/// A point on the grid.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    x: u32,
    y: u32,
}

impl Spot {
    /// Clamped to the grid.
    pub(super) fn new(longitude: f64, latitude: f64) -> Self {
        // Float to integer casts clamp, which is what the far edges need.
        Self {
            x: ((longitude + 180.0) * LONGITUDE_SCALE) as u32,
            y: ((latitude + 90.0) * LATITUDE_SCALE) as u32,
        }
    }

    /// The coarsest cell that it is in.
    pub(super) fn root(self) -> u32 {
        let shift = u32::BITS - ROOT_BITS;
        (self.y >> shift) << ROOT_BITS | self.x >> shift
    }

    /// Which of the children of its cell at `depth` it is in.
    pub(super) fn child(self, depth: u32) -> usize {
        let shift = u32::BITS - ROOT_BITS - CHILD_BITS * (depth + 1);
        let mask = (1 << CHILD_BITS) - 1;
        let (x, y) = ((self.x >> shift) & mask, (self.y >> shift) & mask);
        (y << CHILD_BITS | x) as usize
    }
}

/// A cell's place in the grid.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    /// The south-west corner.
    x: u32,
    y: u32,
    pub(super) depth: u32,
}

impl Cell {
    pub(super) fn root(key: u32) -> Self {
        let shift = u32::BITS - ROOT_BITS;
        Self {
            x: key << shift,
            y: key >> ROOT_BITS << shift,
            depth: 0,
        }
    }

    pub(super) fn child(self, number: usize) -> Self {
        let shift = u32::BITS - ROOT_BITS - CHILD_BITS * (self.depth + 1);
        let mask = (1 << CHILD_BITS) - 1;
        let number = number as u32;
        Self {
            x: self.x | (number & mask) << shift,
            y: self.y | (number >> CHILD_BITS) << shift,
            depth: self.depth + 1,
        }
    }

    pub(super) fn rect(self) -> Rect {
        let side = f64::from(1_u32 << (u32::BITS - ROOT_BITS - CHILD_BITS * self.depth));
        let (x, y) = (f64::from(self.x), f64::from(self.y));
        Rect {
            west: x / LONGITUDE_SCALE - 180.0 - MARGIN_DEG,
            south: y / LATITUDE_SCALE - 90.0 - MARGIN_DEG,
            east: (x + side) / LONGITUDE_SCALE - 180.0 + MARGIN_DEG,
            north: (y + side) / LATITUDE_SCALE - 90.0 + MARGIN_DEG,
        }
    }
}

/// Degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rect {
    pub(super) west: f64,
    pub(super) south: f64,
    pub(super) east: f64,
    pub(super) north: f64,
}

impl Rect {
    pub(super) fn overlaps(&self, other: &Rect) -> bool {
        self.west <= other.east
            && other.west <= self.east
            && self.south <= other.north
            && other.south <= self.north
    }

    /// Grown by its own size to all sides.
    pub(super) fn with_neighbours(&self) -> Self {
        let (width, height) = (self.east - self.west, self.north - self.south);
        Self {
            west: self.west - width,
            south: self.south - height,
            east: self.east + width,
            north: self.north + height,
        }
    }

    pub(super) fn center(&self) -> [f64; 2] {
        [
            (self.west + self.east) / 2.0,
            (self.south + self.north) / 2.0,
        ]
    }

    pub(super) fn corners(&self) -> [[f64; 2]; 4] {
        [
            [self.west, self.south],
            [self.east, self.south],
            [self.west, self.north],
            [self.east, self.north],
        ]
    }

    /// The keys of the coarsest cells that it overlaps.
    pub(super) fn roots(&self) -> impl Iterator<Item = u32> + use<> {
        let mask = (1 << ROOT_BITS) - 1;
        let corner = |longitude, latitude| {
            let key = Spot::new(longitude, latitude).root();
            (key & mask, key >> ROOT_BITS)
        };
        let (x_first, y_first) = corner(self.west - MARGIN_DEG, self.south - MARGIN_DEG);
        let (x_last, y_last) = corner(self.east + MARGIN_DEG, self.north + MARGIN_DEG);
        let row = move |y: u32| (x_first..=x_last).map(move |x| y << ROOT_BITS | x);
        (y_first..=y_last).flat_map(row)
    }
}
