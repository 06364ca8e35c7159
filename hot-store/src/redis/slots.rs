//! Which node of a cluster has which key.

use super::access::Node;

/// How many slots a cluster has, whatever the number of nodes.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key: CRC-16/XMODEM of what stands between its first braces, or
/// of the whole key, modulo 16384 (Redis Cluster specification, "Key distribution
/// model" and "Hash tags").
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = || {
        let open = key.iter().position(|&byte| byte == b'{')?;
        let inner = &key[open + 1..];
        let close = inner.iter().position(|&byte| byte == b'}')?;
        (close > 0).then(|| &inner[..close])
    };
    crc16(tag().unwrap_or(key)) % SLOTS
}

const fn crc16_table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = crc16_table();
    bytes.iter().fold(0, |crc, byte| {
        (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

/// The primaries of a cluster and their slots.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// First and last slot, and whose they are; by first slot.
    ranges: Vec<(u16, u16, Node)>,
}

impl SlotMap {
    pub(super) fn new(mut ranges: Vec<(u16, u16, Node)>) -> Self {
        ranges.sort();
        Self { ranges }
    }

    /// The node that has `slot`; `None` while none does.
    pub(super) fn node(&self, slot: u16) -> Option<&Node> {
        let after = self.ranges.partition_point(|(first, _, _)| *first <= slot);
        let (_, last, node) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(node)
    }

    /// Every primary, once.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let mut nodes: Vec<Node> = self
            .ranges
            .iter()
            .map(|(_, _, node)| node.clone())
            .collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // From `CLUSTER KEYSLOT` of Redis 7.0.
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"{foo}.bar"), slot_of(b"foo"));
        assert_eq!(slot_of(b"a{foo}{bar}"), slot_of(b"foo"));
        assert_eq!(slot_of(b"{}foo"), crc16(b"{}foo") % SLOTS);
        assert_eq!(slot_of(b"foo{"), crc16(b"foo{") % SLOTS);
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn a_slot_belongs_to_the_range_around_it() {
        let node = |port| Node {
            host: "h".into(),
            port,
        };
        let map = SlotMap::new(vec![
            (100, 199, node(2)),
            (0, 99, node(1)),
            (300, 300, node(1)),
        ]);
        let owners = [0, 99, 100, 199, 200, 299, 300, 301].map(|slot| map.node(slot).cloned());
        let expected = [
            Some(1),
            Some(1),
            Some(2),
            Some(2),
            None,
            None,
            Some(1),
            None,
        ];
        assert_eq!(owners, expected.map(|port| port.map(node)));
        assert_eq!(map.nodes(), [node(1), node(2)]);
    }
}
