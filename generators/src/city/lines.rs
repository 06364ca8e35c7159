//! Bus lines: stops along a way through the city, there and back.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use streets::NodeIndex;

use super::route::Router;
use super::{World, roads};

/// A line.
pub(crate) struct BusLine {
    pub name: String,
    /// There and back, in order.
    pub stops: Vec<NodeIndex>,
}

/// Up to `count` lines.
pub(crate) fn lines(
    world: &World,
    router: &mut Router,
    source: &mut ChaCha8Rng,
    count: usize,
) -> Vec<BusLine> {
    let large: Vec<NodeIndex> = world
        .streets
        .segments()
        .iter()
        .filter(|segment| roads::class_share(segment.class) >= 0.7)
        .map(|segment| segment.to_node)
        .filter(|node| world.streets.is_connected(*node))
        .collect();
    let mut lines = Vec::new();
    for number in 0..count * 4 {
        if lines.len() == count || large.is_empty() {
            break;
        }
        let ends = [0, 1].map(|_| large[source.random_range(0..large.len())]);
        let apart_m = world
            .streets
            .node_location(ends[0])
            .distance_m(world.streets.node_location(ends[1]));
        if apart_m < 2_500.0 && number < count * 3 {
            continue;
        }
        let mut stops = stops_between(world, router, ends[0], ends[1]);
        stops.extend(stops_between(world, router, ends[1], ends[0]));
        if stops.len() > 2 {
            lines.push(BusLine {
                name: (lines.len() + 16).to_string(),
                stops,
            });
        }
    }
    lines
}

/// A stop about every 500 m of the way.
fn stops_between(
    world: &World,
    router: &mut Router,
    from: NodeIndex,
    to: NodeIndex,
) -> Vec<NodeIndex> {
    let mut stops = Vec::new();
    let mut since_m = 0.0;
    let route = router.find(world, from, to, None).unwrap_or_default();
    for exit in route.iter().rev() {
        since_m += world.roads.road(exit.segment).length_m();
        if since_m >= 500.0 || exit.to == to {
            stops.push(exit.to);
            since_m = 0.0;
        }
    }
    stops
}
