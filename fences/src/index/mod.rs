//! Every fence, ready to be asked which of them contain a point.
//!
//! A tree of cells, four by four to each: a fence that covers a cell whole is
//! noted there and needs no further check; where a fence's edge runs, a cell holds
//! the few sides that matter in it. A change touches only the fence's own cells.

mod blocks;
mod cell;
mod piece;
mod tree;

use std::collections::HashMap;
use std::sync::Arc;

use events::Location;
use foldhash::fast::RandomState;

use self::cell::{Rect, Spot};
use self::piece::{Kind, Piece, Probe};
use self::tree::Tree;
use crate::document::Fence;
use crate::error::Invalid;
use crate::schedule::Times;
use crate::shape::{Ring, Shape};

/// Along a meridian, on a sphere of the mean earth radius (IUGG), 6,371,008.8 m.
pub(crate) const METRES_PER_DEGREE: f64 = 111_195.079_734_63;

/// A fence's number in its index, as long as it is in it.
pub type FenceNo = u32;

/// A fence as it is watched.
#[derive(Debug)]
pub struct ActiveFence {
    id: Arc<str>,
    fence: Arc<Fence>,
    vehicle_types: Vec<Box<str>>,
    times: Option<Times>,
    effective_from_us: i64,
}

impl ActiveFence {
    fn new(fence: Arc<Fence>, effective_from_us: i64) -> Result<Self, Invalid> {
        let lower = |text: &String| text.to_lowercase().into_boxed_str();
        let times = fence.schedule.as_ref().map(|schedule| schedule.compile());
        Ok(Self {
            id: fence.id.as_str().into(),
            vehicle_types: fence.vehicle_types.iter().map(lower).collect(),
            times: times.transpose()?,
            effective_from_us,
            fence,
        })
    }

    /// Its id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// As written.
    pub fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// It says nothing about fixes that were appended before this, microseconds
    /// since the epoch: so a replay of older fixes meets it as they first did.
    pub fn effective_from_us(&self) -> i64 {
        self.effective_from_us
    }

    /// Whether it watches a vehicle of this type at this time.
    pub fn applies(&self, device_id: &str, vehicle_type: Option<&str>, at_us: i64) -> bool {
        let is_anchor = matches!(&self.fence.shape, Shape::Around { device_id: anchor, .. } if anchor == device_id);
        let is_type =
            |wanted: &str| vehicle_type.is_some_and(|given| wanted.eq_ignore_ascii_case(given));
        !is_anchor
            && (self.vehicle_types.is_empty()
                || self.vehicle_types.iter().any(|wanted| is_type(wanted)))
            && self.times.as_ref().is_none_or(|times| times.contain(at_us))
    }
}

/// What the tree holds of a fence.
struct Slot {
    active: Arc<ActiveFence>,
    /// Where its pieces are.
    bounds: Vec<Rect>,
    numbers: usize,
}

/// The index.
#[derive(Default)]
pub struct FenceIndex {
    tree: Tree,
    slots: Vec<Option<Slot>>,
    free: Vec<FenceNo>,
    by_id: HashMap<Arc<str>, FenceNo, RandomState>,
    /// The fences around each vehicle.
    anchors: HashMap<Box<str>, Vec<FenceNo>, RandomState>,
    /// Fences of several areas: a point may be found in one more than once.
    several: usize,
}

impl std::fmt::Debug for FenceIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FenceIndex of {}", self.len())
    }
}

impl FenceIndex {
    /// An index of checked fences, effective at once.
    pub fn build(fences: impl IntoIterator<Item = Fence>) -> Result<Self, Invalid> {
        let mut index = Self::default();
        for fence in fences {
            index.put(Arc::new(fence), i64::MIN)?;
        }
        Ok(index)
    }

    /// How many fences it has, switched off ones included.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Adds a fence, or replaces the one with its id. Appended at
    /// `effective_from_us`, see [`ActiveFence::effective_from_us`].
    ///
    /// Errors: those of [`Fence::check`], when nothing changes.
    pub fn put(&mut self, fence: Arc<Fence>, effective_from_us: i64) -> Result<FenceNo, Invalid> {
        fence.check()?;
        let active = Arc::new(ActiveFence::new(fence, effective_from_us)?);
        self.remove(&active.id);
        let number = self.free.pop().unwrap_or(self.slots.len() as FenceNo);
        if number as usize == self.slots.len() {
            self.slots.push(None);
        }
        self.by_id.insert(active.id.clone(), number);
        let placed = match active.fence.enabled {
            true => place(&active.fence.shape),
            false => Vec::new(),
        };
        if let Shape::Around { device_id, .. } = &active.fence.shape {
            let around = self.anchors.entry(device_id.as_str().into()).or_default();
            around.push(number);
        }
        self.several += usize::from(matches!(active.fence.shape, Shape::MultiPolygon { .. }));
        self.slots[number as usize] = Some(Slot {
            active,
            bounds: Vec::new(),
            numbers: 0,
        });
        self.insert(number, placed);
        Ok(number)
    }

    /// Removes a fence; whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(number) = self.by_id.remove(id) else {
            return false;
        };
        let Some(slot) = self.slots[number as usize].take() else {
            return false;
        };
        self.tree.remove(number, slot.numbers, &slot.bounds);
        match &slot.active.fence.shape {
            Shape::MultiPolygon { .. } => self.several -= 1,
            Shape::Around { device_id, .. } => {
                if let Some(around) = self.anchors.get_mut(device_id.as_str()) {
                    around.retain(|other| *other != number);
                    if around.is_empty() {
                        self.anchors.remove(device_id.as_str());
                    }
                }
            }
            _ => {}
        }
        self.free.push(number);
        true
    }

    /// The ids of all fences.
    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_id.keys()
    }

    /// Whether fences go where this vehicle goes.
    pub fn is_anchor(&self, device_id: &str) -> bool {
        !self.anchors.is_empty() && self.anchors.contains_key(device_id)
    }

    /// The vehicles around which there are fences.
    pub fn anchors(&self) -> impl Iterator<Item = &str> {
        self.anchors.keys().map(|device_id| &**device_id)
    }

    /// Takes the fences around a vehicle to where it is now.
    pub fn move_anchor(&mut self, device_id: &str, location: Location) {
        let Some(around) = self.anchors.get(device_id).cloned() else {
            return;
        };
        for number in around {
            let Some(slot) = &mut self.slots[number as usize] else {
                continue;
            };
            let Shape::Around { radius_m, .. } = slot.active.fence.shape else {
                continue;
            };
            if slot.active.fence.enabled {
                self.tree.remove(number, slot.numbers, &slot.bounds);
                self.insert(number, place_circle(location, radius_m));
            }
        }
    }

    fn insert(&mut self, number: FenceNo, placed: Vec<(Piece, Vec<Rect>)>) {
        let Some(slot) = &mut self.slots[number as usize] else {
            return;
        };
        slot.bounds.clear();
        slot.numbers = 0;
        for (piece, bounds) in placed {
            for rect in &bounds {
                slot.numbers += piece.numbers.len();
                self.tree.insert(number, &piece, rect);
            }
            slot.bounds.extend(bounds);
        }
    }

    /// The fences that contain `location`, whatever vehicles and times they are
    /// for, in no order; `out` is cleared first.
    pub fn containing(&self, location: Location, out: &mut Vec<FenceNo>) {
        out.clear();
        let spot = Spot::new(location.longitude, location.latitude);
        self.tree.containing(spot, &mut Probe::new(location), out);
        if self.several > 0 && out.len() > 1 {
            out.sort_unstable();
            out.dedup();
        }
    }

    /// A fence by the number that [`containing`](Self::containing) gave.
    pub fn get(&self, number: FenceNo) -> Option<&Arc<ActiveFence>> {
        let slot = self.slots.get(number as usize)?.as_ref()?;
        Some(&slot.active)
    }

    /// A fence by its id.
    pub fn find(&self, id: &str) -> Option<&Arc<ActiveFence>> {
        self.get(*self.by_id.get(id)?)
    }

    /// Whether there is a fence of that id, and it is not switched off.
    pub fn is_watched(&self, id: &str) -> bool {
        self.find(id).is_some_and(|fence| fence.fence.enabled)
    }

    /// Bytes that the index occupies, about, without the documents.
    pub fn memory_bytes(&self) -> usize {
        self.tree.memory_bytes() + self.slots.capacity() * size_of::<Option<Slot>>()
    }
}

/// The pieces of a shape, each with where it lies.
fn place(shape: &Shape) -> Vec<(Piece, Vec<Rect>)> {
    match shape {
        Shape::Polygon { coordinates } => vec![place_area(coordinates)],
        Shape::MultiPolygon { coordinates } => coordinates
            .iter()
            .map(|polygon| place_area(polygon))
            .collect(),
        Shape::Circle { center, radius_m } => place_circle(center.location(), *radius_m),
        Shape::Corridor { line, width_m } => {
            let mut numbers = vec![[width_m / 2.0, 0.0, 0.0, 0.0]];
            numbers.extend(line.windows(2).map(|pair| side(pair[0].0, pair[1].0)));
            let piece = Piece {
                kind: Kind::Corridor,
                numbers,
            };
            let bounds = grow(
                bounds_of(line.iter().map(|position| position.0)),
                width_m / 2.0,
            );
            vec![(piece, vec![bounds])]
        }
        // Nowhere, until its vehicle has been seen.
        Shape::Around { .. } => Vec::new(),
    }
}

fn place_area(rings: &[Ring]) -> (Piece, Vec<Rect>) {
    let sides = rings.iter().flat_map(|ring| ring.windows(2));
    let piece = Piece {
        kind: Kind::Area { inside: false },
        numbers: sides.map(|pair| side(pair[0].0, pair[1].0)).collect(),
    };
    let outline = rings.first().into_iter().flatten();
    (piece, vec![bounds_of(outline.map(|position| position.0))])
}

fn place_circle(center: Location, radius_m: f64) -> Vec<(Piece, Vec<Rect>)> {
    let at = [center.longitude, center.latitude];
    let whole = grow(bounds_of([at].into_iter()), radius_m);
    // Over the 180th meridian it goes on at the other side.
    let turned = |by: f64| Rect {
        west: (whole.west + by).max(-180.0),
        east: (whole.east + by).min(180.0),
        ..whole
    };
    let mut bounds = vec![turned(0.0)];
    if whole.east - whole.west >= 360.0 {
        bounds[0].west = -180.0;
        bounds[0].east = 180.0;
    } else if whole.west < -180.0 {
        bounds.push(turned(360.0));
    } else if whole.east > 180.0 {
        bounds.push(turned(-360.0));
    }
    vec![(piece::circle(center, radius_m), bounds)]
}

fn side([x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) -> [f64; 4] {
    [x1, y1, x2, y2]
}

fn bounds_of(points: impl Iterator<Item = [f64; 2]>) -> Rect {
    let nothing = Rect {
        west: f64::INFINITY,
        south: f64::INFINITY,
        east: f64::NEG_INFINITY,
        north: f64::NEG_INFINITY,
    };
    points.fold(nothing, |rect, [x, y]| Rect {
        west: rect.west.min(x),
        south: rect.south.min(y),
        east: rect.east.max(x),
        north: rect.north.max(y),
    })
}

/// The rectangle around everything within `distance_m` of `rect`.
fn grow(rect: Rect, distance_m: f64) -> Rect {
    let by = distance_m / METRES_PER_DEGREE * 1.001;
    let (south, north) = (rect.south - by, rect.north + by);
    let farthest = south.abs().max(north.abs());
    // Around a pole it is every longitude.
    let shrunk = if farthest < 90.0 {
        farthest.to_radians().cos()
    } else {
        0.0
    };
    let by_east = if shrunk > 0.0 { by / shrunk } else { 360.0 };
    Rect {
        west: rect.west - by_east,
        south: south.max(-90.0),
        east: rect.east + by_east,
        north: north.min(90.0),
    }
}
