//! One device's ins and outs.

use std::sync::Arc;

use events::Location;

use crate::index::{ActiveFence, FenceIndex, FenceNo};

/// Fences that one device is remembered to be in at most; further ones are as if
/// it were not.
pub const INSIDE_MAX: usize = 256;

/// What a fix has to do with fences.
#[derive(Clone, Copy, Debug)]
pub struct Fix<'a> {
    /// Who.
    pub device_id: &'a str,
    /// Taxi, bus, ..., where known.
    pub vehicle_type: Option<&'a str>,
    /// Where.
    pub location: Location,
    /// When it was there, microseconds since the epoch.
    pub at_us: i64,
    /// When the log took the fix in, microseconds since the epoch.
    pub appended_at_us: i64,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceEventKind {
    /// The first fix inside.
    Enter,
    /// The first fix outside; also when the fence's time of the week ended, or it was
    /// removed or switched off and not forgotten
    /// ([`FenceState::forget_unwatched`]) before.
    Exit,
    /// The first fix that shows it inside for as long as the fence says.
    Dwell,
}

impl FenceEventKind {
    /// In documents: `enter`, `exit`, `dwell`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Exit => "exit",
            Self::Dwell => "dwell",
        }
    }
}

/// A device and a fence.
#[derive(Clone, Debug)]
pub struct FenceEvent {
    /// The fence's id.
    pub fence_id: Arc<str>,
    /// The fence; none where it was removed.
    pub fence: Option<Arc<ActiveFence>>,
    /// What happened.
    pub kind: FenceEventKind,
    /// When: the fix's own time, microseconds since the epoch.
    pub at_us: i64,
    /// When it entered, microseconds since the epoch.
    pub since_us: i64,
    /// Where.
    pub location: Location,
}

/// The fences that a device is in. Small where it is in none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FenceState {
    inside: Vec<Inside>,
}

#[derive(Clone, Debug, PartialEq)]
struct Inside {
    fence_id: Arc<str>,
    since_us: i64,
    has_dwelled: bool,
}

impl FenceState {
    /// Whether the device is in no fence: there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.inside.is_empty()
    }

    /// The fences that it is in, and since when.
    pub fn inside(&self) -> impl Iterator<Item = (&Arc<str>, i64)> {
        let inside = self.inside.iter();
        inside.map(|inside| (&inside.fence_id, inside.since_us))
    }

    /// Forgets the fences of which `is_watched` says that they are not, without a word;
    /// whether there were any.
    pub fn forget_unwatched(&mut self, is_watched: impl Fn(&str) -> bool) -> bool {
        let before = self.inside.len();
        self.inside.retain(|inside| is_watched(&inside.fence_id));
        self.inside.len() < before
    }

    /// Takes in the device's next fix and appends what it means: exits first, then
    /// enters, then dwells, each by fence id. Returns whether the state changed.
    /// Fixes are to come in the order of their own time: late ones are left out
    /// by the caller, who knows every fix.
    ///
    /// `found` is room to work in, whatever it holds.
    pub fn observe(
        &mut self,
        index: &FenceIndex,
        fix: &Fix<'_>,
        found: &mut Vec<FenceNo>,
        out: &mut Vec<FenceEvent>,
    ) -> bool {
        if index.is_empty() && self.inside.is_empty() {
            return false;
        }
        index.containing(fix.location, found);
        // Most fixes are in no fence and come from none.
        if found.is_empty() && self.inside.is_empty() {
            return false;
        }
        let first = out.len();
        self.exit(index, fix, found, out);
        out[first..].sort_by(|a, b| a.fence_id.cmp(&b.fence_id));
        self.enter(index, fix, found, out);
        self.dwell(index, fix, out);
        out.len() > first
    }

    fn exit(
        &mut self,
        index: &FenceIndex,
        fix: &Fix<'_>,
        found: &[FenceNo],
        out: &mut Vec<FenceEvent>,
    ) {
        self.inside.retain(|inside| {
            let fence = index.find(&inside.fence_id);
            let stays = fence.is_some_and(|fence| {
                // Appended before the fence was written: it says nothing about it.
                if fix.appended_at_us < fence.effective_from_us() {
                    return true;
                }
                let is_in = found
                    .iter()
                    .any(|number| index.get(*number).is_some_and(|f| Arc::ptr_eq(f, fence)));
                is_in && fence.applies(fix.device_id, fix.vehicle_type, fix.at_us)
            });
            if !stays {
                out.push(FenceEvent {
                    fence_id: inside.fence_id.clone(),
                    fence: fence.cloned(),
                    kind: FenceEventKind::Exit,
                    at_us: fix.at_us,
                    since_us: inside.since_us,
                    location: fix.location,
                });
            }
            stays
        });
    }

    fn enter(
        &mut self,
        index: &FenceIndex,
        fix: &Fix<'_>,
        found: &[FenceNo],
        out: &mut Vec<FenceEvent>,
    ) {
        let first = out.len();
        for fence in found.iter().filter_map(|number| index.get(*number)) {
            let is_new = self
                .inside
                .iter()
                .all(|inside| inside.fence_id != *fence.id());
            if !is_new
                || self.inside.len() >= INSIDE_MAX
                || fix.appended_at_us < fence.effective_from_us()
                || !fence.applies(fix.device_id, fix.vehicle_type, fix.at_us)
            {
                continue;
            }
            self.inside.push(Inside {
                fence_id: fence.id().clone(),
                since_us: fix.at_us,
                has_dwelled: false,
            });
            out.push(FenceEvent {
                fence_id: fence.id().clone(),
                fence: Some(fence.clone()),
                kind: FenceEventKind::Enter,
                at_us: fix.at_us,
                since_us: fix.at_us,
                location: fix.location,
            });
        }
        if out.len() > first {
            // By id, not by number: another process numbers fences otherwise.
            out[first..].sort_by(|a, b| a.fence_id.cmp(&b.fence_id));
            self.inside.sort_by(|a, b| a.fence_id.cmp(&b.fence_id));
        }
    }

    fn dwell(&mut self, index: &FenceIndex, fix: &Fix<'_>, out: &mut Vec<FenceEvent>) {
        for inside in self.inside.iter_mut().filter(|inside| !inside.has_dwelled) {
            let Some(fence) = index.find(&inside.fence_id) else {
                continue;
            };
            let Some(dwell_s) = fence.fence().dwell_s else {
                continue;
            };
            if fix.appended_at_us < fence.effective_from_us()
                || fix.at_us - inside.since_us < i64::from(dwell_s) * 1_000_000
            {
                continue;
            }
            inside.has_dwelled = true;
            out.push(FenceEvent {
                fence_id: inside.fence_id.clone(),
                fence: Some(fence.clone()),
                kind: FenceEventKind::Dwell,
                at_us: fix.at_us,
                since_us: inside.since_us,
                location: fix.location,
            });
        }
    }

    /// The state as bytes: `version u8 | count u16 |` then per fence
    /// `id length u16 | id | since_us i64 | dwelled u8`, little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&(self.inside.len() as u16).to_le_bytes());
        for inside in &self.inside {
            bytes.extend_from_slice(&(inside.fence_id.len() as u16).to_le_bytes());
            bytes.extend_from_slice(inside.fence_id.as_bytes());
            bytes.extend_from_slice(&inside.since_us.to_le_bytes());
            bytes.push(u8::from(inside.has_dwelled));
        }
        bytes
    }

    /// What [`encode`](Self::encode) wrote; `None` if it did not.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let count = u16::from_le_bytes(take(&mut rest)?);
        let mut inside = Vec::with_capacity(usize::from(count).min(INSIDE_MAX));
        for _ in 0..count {
            let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
            let id = rest.split_off(..length)?;
            inside.push(Inside {
                fence_id: std::str::from_utf8(id).ok()?.into(),
                since_us: i64::from_le_bytes(take(&mut rest)?),
                has_dwelled: take::<1>(&mut rest)? == [1],
            });
        }
        rest.is_empty().then_some(Self { inside })
    }
}

const VERSION: u8 = 1;

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    rest.split_off(..N)?.try_into().ok()
}
