//! San Francisco taxis: `cab,t,lat,lon,occ` for many cabs, or one cab's raw
//! `new_<cab>.txt` with `lat lon occ t`, often newest first.
//!
//! Each row is one `gps_data` event. Speed and direction are from the cab's fix
//! before it (`track`); where that would be a jump, `jump_kmh` says how fast.

use std::fmt::Write as _;
use std::path::Path;

use events::json::ObjectWriter;
use events::{Body, Event, Gps};

use super::track::Tracks;
use super::{Context, Rows, number, place, shown, stable_id};
use crate::replay::ReplayError;
use crate::replay::input::{Content, Lines, read_whole};
use crate::replay::row::Row;

/// One line, either way.
#[derive(Clone, Copy)]
struct Fix<'a> {
    cab: &'a str,
    time: &'a str,
    latitude: &'a str,
    longitude: &'a str,
    occupied: &'a str,
}

pub(crate) fn rows(content: Content, head: &[u8], context: Context) -> Result<Rows, ReplayError> {
    if head
        .split(|byte| *byte == b'\n')
        .next()
        .is_some_and(|line| line.contains(&b','))
    {
        return Ok(Box::new(ManyCabs {
            lines: Lines::new(content),
            context,
            maker: Maker::default(),
        }));
    }
    let whole = read_whole(content, &context.path)?;
    Ok(Box::new(
        one_cab(&String::from_utf8_lossy(&whole), &cab_name(&context.path))
            .into_iter()
            .map(Ok),
    ))
}

#[derive(Default)]
struct Maker {
    tracks: Tracks,
    name: String,
}

impl Maker {
    fn event(&mut self, line: u64, fix: Fix<'_>) -> Result<Event, String> {
        let location = place(number("lat", fix.latitude)?, number("lon", fix.longitude)?)?;
        let seconds: i64 = fix.time.parse().map_err(|_| {
            format!(
                "field \"t\": got {}, expected seconds since 1970",
                shown(fix.time)
            )
        })?;
        let timestamp_us = seconds
            .checked_mul(1_000_000)
            .ok_or_else(|| format!("field \"t\": got {seconds}, expected seconds since 1970"))?;
        let occupied = match fix.occupied {
            "0" => false,
            "1" => true,
            other => {
                let got = shown(other);
                return Err(format!("field \"occ\": got {got}, expected 0 or 1"));
            }
        };
        if fix.cab.is_empty() {
            return Err("field \"cab\": got nothing, expected a name".to_owned());
        }
        let motion = self.tracks.step(fix.cab, timestamp_us, location);
        // The line is part of the name: a cab may have the same fix twice.
        self.name.clear();
        let parts = [fix.cab, fix.time, fix.latitude, fix.longitude, fix.occupied];
        for part in parts {
            self.name.push_str(part);
            self.name.push(',');
        }
        // Writing to a text does not fail.
        let _ = write!(self.name, "{line}");
        let extra = motion.jump_kmh.map(|jump_kmh| {
            let mut extra = ObjectWriter::new();
            extra.number("jump_kmh", jump_kmh);
            extra.finish_text().into()
        });
        Ok(Event {
            id: stable_id(timestamp_us, &self.name),
            device_id: fix.cab.into(),
            timestamp_us,
            extra,
            body: Body::Gps(Gps {
                location,
                speed_kmh: motion.speed_kmh,
                direction_deg: motion.direction_deg,
                vehicle_type: Some("taxi".into()),
                occupied: Some(occupied),
                ..Gps::default()
            }),
        })
    }
}

struct ManyCabs {
    lines: Lines,
    context: Context,
    maker: Maker,
}

impl Iterator for ManyCabs {
    type Item = Result<Row, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (line, bytes) = match self.lines.next_line() {
                Ok(next) => next?,
                Err(source) => {
                    return Some(Err(ReplayError::Read {
                        path: self.context.path.clone(),
                        source,
                    }));
                }
            };
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(cause) => return Some(Ok(Row::bad(line, cause))),
            };
            if bytes.is_empty() || (line == 1 && bytes.starts_with(b"cab,")) {
                continue;
            }
            let fix = std::str::from_utf8(bytes)
                .map_err(|_| "not UTF-8 text".to_owned())
                .and_then(many_cabs_fix);
            let maker = &mut self.maker;
            let row = Row::of(line, fix.and_then(|fix| maker.event(line, fix)));
            return Some(Ok(row.keeping(|| bytes.to_vec())));
        }
    }
}

fn many_cabs_fix(line: &str) -> Result<Fix<'_>, String> {
    let mut fields = line.split(',').map(str::trim);
    let mut next = || fields.next();
    match (next(), next(), next(), next(), next(), next()) {
        (Some(cab), Some(time), Some(latitude), Some(longitude), Some(occupied), None) => Ok(Fix {
            cab,
            time,
            latitude,
            longitude,
            occupied,
        }),
        _ => Err(format!(
            "row: got {} fields, expected 5: cab,t,lat,lon,occ",
            line.split(',').count()
        )),
    }
}

/// Oldest first, whatever the file's order, so that speeds are from fix to fix.
fn one_cab(text: &str, cab: &str) -> Vec<Row> {
    let mut maker = Maker::default();
    let mut rows = Vec::new();
    let mut fixes: Vec<(i64, u64, Fix<'_>)> = Vec::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let line_number = index as u64 + 1;
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [latitude, longitude, occupied, time] = fields[..] else {
            let cause = format!(
                "row: got {} fields, expected 4: lat lon occ t",
                fields.len()
            );
            rows.push(Row::bad(line_number, cause).keeping(|| line.into()));
            continue;
        };
        let fix = Fix {
            cab,
            time,
            latitude,
            longitude,
            occupied,
        };
        fixes.push((time.parse().unwrap_or(i64::MAX), line_number, fix));
    }
    fixes.sort_by_key(|(seconds, ..)| *seconds);
    rows.extend(
        fixes
            .into_iter()
            .map(|(_, line, fix)| Row::of(line, maker.event(line, fix))),
    );
    rows
}

/// `new_abboip.txt.gz` is of cab `abboip`.
fn cab_name(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let stem = name.split('.').next().unwrap_or(&name);
    let cab = stem.rsplit_once("new_").map_or(stem, |(_, cab)| cab);
    if cab.is_empty() || cab == "-" {
        "cab".to_owned()
    } else {
        cab.to_owned()
    }
}
