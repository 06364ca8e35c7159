//! Segments: the pieces of a partition that retention removes. Pure.

use std::collections::VecDeque;

use bytes::Buf;
use events::Offset;

use super::partition::Retention;

/// The records `first..end`, closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: Offset,
    pub(super) end: Offset,
    /// Stored bytes, after compression.
    pub(super) bytes: u64,
    /// When its newest record was appended.
    pub(super) last_appended_at_us: i64,
}

impl Segment {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = self.end.to_be_bytes().to_vec();
        value.extend_from_slice(&self.bytes.to_be_bytes());
        value.extend_from_slice(&self.last_appended_at_us.to_be_bytes());
        value
    }

    pub(super) fn decode(first: Offset, mut value: &[u8]) -> Option<Self> {
        let end = value.try_get_i64().ok()?;
        let bytes = value.try_get_u64().ok()?;
        let last_appended_at_us = value.try_get_i64().ok()?;
        Some(Self {
            first,
            end,
            bytes,
            last_appended_at_us,
        })
    }
}

/// A partition's closed segments and the one being filled.
#[derive(Debug, Default)]
pub(super) struct Segments {
    closed: VecDeque<Segment>,
    closed_bytes: u64,
    open: Open,
}

#[derive(Clone, Copy, Debug, Default)]
struct Open {
    first: Offset,
    end: Offset,
    bytes: u64,
    first_appended_at_us: i64,
    last_appended_at_us: i64,
}

impl Segments {
    pub(super) fn new(closed: Vec<Segment>, open_from: Offset) -> Self {
        let closed_bytes = closed.iter().map(|segment| segment.bytes).sum();
        let open = Open {
            first: open_from,
            end: open_from,
            ..Open::default()
        };
        Self {
            closed: closed.into(),
            closed_bytes,
            open,
        }
    }

    /// Counts a block of `bytes` stored bytes whose last record lies before `end`.
    pub(super) fn add(&mut self, bytes: u64, end: Offset, appended_at_us: i64) {
        if self.open.bytes == 0 {
            self.open.first_appended_at_us = appended_at_us;
        }
        self.open.bytes += bytes;
        self.open.end = end;
        self.open.last_appended_at_us = appended_at_us;
    }

    /// Whether the open segment is to be closed before a block is added at `now_us`.
    pub(super) fn should_close(
        &self,
        segment_bytes: u64,
        retention: Retention,
        now_us: i64,
    ) -> bool {
        // A quarter, so that what is kept is at most that much over the limit.
        let bytes_max = retention
            .bytes
            .map_or(segment_bytes, |bytes| segment_bytes.min(bytes / 4));
        let too_old = |age_us: i64| now_us - self.open.first_appended_at_us > age_us / 4;
        self.open.bytes > 0
            && (self.open.bytes >= bytes_max || retention.age_us.is_some_and(too_old))
    }

    /// What the open segment will be once closed.
    pub(super) fn open_as_closed(&self) -> Segment {
        let Open {
            first,
            end,
            bytes,
            last_appended_at_us,
            ..
        } = self.open;
        Segment {
            first,
            end,
            bytes,
            last_appended_at_us,
        }
    }

    /// Closes the open segment.
    pub(super) fn close(&mut self) -> Segment {
        let segment = self.open_as_closed();
        self.closed.push_back(segment);
        self.closed_bytes += segment.bytes;
        self.open = Open {
            first: segment.end,
            end: segment.end,
            ..Open::default()
        };
        segment
    }

    /// What retention removes at `now_us`: how many closed segments, and whether
    /// the open one goes as well.
    pub(super) fn expired(&self, retention: Retention, now_us: i64) -> (usize, bool) {
        let too_old = |at_us: i64| {
            retention
                .age_us
                .is_some_and(|age_us| at_us < now_us - age_us)
        };
        let mut bytes = self.closed_bytes + self.open.bytes;
        let mut count = 0;
        for segment in &self.closed {
            let too_large = retention
                .bytes
                .is_some_and(|limit| bytes - segment.bytes >= limit);
            if !too_large && !too_old(segment.last_appended_at_us) {
                return (count, false);
            }
            bytes -= segment.bytes;
            count += 1;
        }
        (
            count,
            self.open.bytes > 0 && too_old(self.open.last_appended_at_us),
        )
    }

    pub(super) fn front(&self, count: usize) -> impl Iterator<Item = &Segment> {
        self.closed.iter().take(count)
    }

    /// Forgets what [`Segments::expired`] named.
    pub(super) fn remove(&mut self, count: usize, open_as_well: bool) {
        for segment in self.closed.drain(..count.min(self.closed.len())) {
            self.closed_bytes -= segment.bytes;
        }
        if open_as_well {
            self.open = Open {
                first: self.open.end,
                end: self.open.end,
                ..Open::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Segments {
        let mut segments = Segments::new(Vec::new(), 0);
        for index in 0..4 {
            segments.add(100, (index + 1) * 10, index * 1_000);
            segments.close();
        }
        segments.add(50, 45, 4_000);
        segments
    }

    #[test]
    fn size_keeps_at_least_the_limit() {
        let retention = Retention {
            age_us: None,
            bytes: Some(220),
        };
        let mut segments = filled();
        assert_eq!(segments.expired(retention, 0), (2, false));
        segments.remove(2, false);
        assert_eq!(
            segments.front(1).next().map(|segment| segment.first),
            Some(20)
        );
        assert_eq!(segments.expired(retention, 0), (0, false));
    }

    #[test]
    fn age_removes_what_is_wholly_older() {
        let retention = Retention {
            age_us: Some(10_000),
            bytes: None,
        };
        assert_eq!(filled().expired(retention, 10_500), (1, false));
        assert_eq!(filled().expired(retention, 13_500), (4, false));
        let mut segments = filled();
        assert_eq!(segments.expired(retention, 20_000), (4, true));
        segments.remove(4, true);
        assert_eq!(segments.expired(retention, i64::MAX), (0, false));
    }

    #[test]
    fn an_open_segment_closes_by_size_and_by_age() {
        let mut segments = Segments::new(Vec::new(), 7);
        let kept = Retention {
            age_us: None,
            bytes: None,
        };
        assert!(!segments.should_close(10, kept, i64::MAX / 2));
        segments.add(9, 8, 1_000);
        assert!(!segments.should_close(10, kept, 1_000));
        segments.add(1, 9, 2_000);
        assert!(segments.should_close(10, kept, 2_000));
        assert!(segments.should_close(
            100,
            Retention {
                age_us: Some(4_000),
                bytes: None
            },
            2_001
        ));
        assert!(segments.should_close(
            100,
            Retention {
                age_us: None,
                bytes: Some(40)
            },
            2_000
        ));
        assert_eq!(
            segments.close(),
            Segment {
                first: 7,
                end: 9,
                bytes: 10,
                last_appended_at_us: 2_000
            }
        );
    }

    #[test]
    fn a_segment_survives_its_encoding() {
        let segment = Segment {
            first: 5,
            end: 9,
            bytes: 77,
            last_appended_at_us: -3,
        };
        assert_eq!(Segment::decode(5, &segment.encode()), Some(segment));
        assert_eq!(Segment::decode(5, &[0; 3]), None);
    }
}
