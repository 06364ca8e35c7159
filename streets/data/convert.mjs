// Makes gothenburg.jsonl.gz, the street network that CityPulse carries.
//
//   npm pack geojson-path-finder@2.1.0 && tar xzf geojson-path-finder-2.1.0.tgz
//   node convert.mjs package/test/large-network.json gothenburg.jsonl.gz
//
// Input: GeoJSON of every OpenStreetMap highway of Gothenburg. Output: one JSON
// object a line and way, sorted by way id, so that the same input gives the
// same bytes:
//   {"w": way id, "h": highway class, "n": name, "s": limit in km/h,
//    "o": 1 with the line only | -1 against it only, "p": [lon, lat, dlon, dlat, ...]}
// Coordinates are in 1e-7 degrees; all but the first pair are differences.

import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const CLASSES = new Set(["motorway", "trunk", "primary", "secondary", "tertiary", "unclassified",
  "residential", "living_street", "service"]);
const CLOSED = new Set(["no", "private", "agricultural", "forestry", "military"]);
// Not streets one drives through: they clutter the map and dead-end the traffic.
const MINOR_SERVICE = new Set(["parking_aisle", "driveway", "drive-through", "emergency_access"]);

function isDrivable({ geometry, properties }) {
  const base = (properties.highway ?? "").replace(/_link$/, "");
  return geometry.type === "LineString" && CLASSES.has(base) && properties.area !== "yes"
    && ![properties.access, properties.vehicle, properties.motor_vehicle, properties.motorcar]
      .some((value) => CLOSED.has(value))
    && !(base === "service" && MINOR_SERVICE.has(properties.service));
}

function direction({ oneway, junction, highway }) {
  if (oneway === "-1" || oneway === "reverse") return -1;
  if (oneway === "yes" || oneway === "true" || oneway === "1") return 1;
  if (oneway === "no") return 0;
  return junction === "roundabout" || junction === "circular" || highway === "motorway"
    || highway === "motorway_link" ? 1 : 0;
}

function limitKmh({ maxspeed }) {
  const match = /^(\d+(?:\.\d+)?)\s*(mph)?$/.exec(maxspeed ?? "");
  return match ? Math.round(Number(match[1]) * (match[2] ? 1.609344 : 1)) : undefined;
}

function deltas(coordinates) {
  let [lon, lat] = [0, 0];
  return coordinates.flatMap(([x, y]) => {
    const [nextLon, nextLat] = [Math.round(x * 1e7), Math.round(y * 1e7)];
    const step = [nextLon - lon, nextLat - lat];
    [lon, lat] = [nextLon, nextLat];
    return step;
  });
}

function toLine({ id, properties, geometry }) {
  return {
    w: Number(id.replace("way/", "")),
    h: properties.highway,
    n: properties.name ?? properties.ref,
    s: limitKmh(properties),
    o: direction(properties) || undefined,
    p: deltas(geometry.coordinates),
  };
}

const [input, output] = process.argv.slice(2);
if (!output) {
  console.error("usage: node convert.mjs large-network.json gothenburg.jsonl.gz");
  process.exit(2);
}
const features = JSON.parse(readFileSync(input, "utf8")).features;
const ways = features.filter(isDrivable).map(toLine).sort((a, b) => a.w - b.w);
const bytes = gzipSync(ways.map((way) => JSON.stringify(way)).join("\n") + "\n", { level: 9 });
writeFileSync(output, bytes);
console.log(`${ways.length} of ${features.length} ways, ${bytes.length} bytes`);
