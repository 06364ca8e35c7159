//! Compass words to degrees.

/// Degrees clockwise from north of one of the 16 compass points: `North-East`,
/// `NE`, `north east`, `NNW`, `south_south_west`, `westbound`.
pub(super) fn degrees(word: &str) -> Option<f64> {
    // The longest name is "north-north-east-bound".
    if word.len() > 24 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let lower = lower.trim().strip_suffix("bound").unwrap_or(lower.trim());
    let letters: String = lower
        .replace("north", "n")
        .replace("east", "e")
        .replace("south", "s")
        .replace("west", "w")
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '_'))
        .collect();
    let point = POINTS.iter().position(|name| *name == letters)?;
    Some(point as f64 * 22.5)
}

/// The points from north on, clockwise.
const POINTS: [&str; 16] = [
    "n", "nne", "ne", "ene", "e", "ese", "se", "sse", "s", "ssw", "sw", "wsw", "w", "wnw", "nw",
    "nnw",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_point() {
        for (word, expected) in [
            ("North", 0.0),
            ("n", 0.0),
            ("North-East", 45.0),
            ("NE", 45.0),
            ("north east", 45.0),
            ("NorthEast", 45.0),
            ("north_east", 45.0),
            ("N-E", 45.0),
            ("NNE", 22.5),
            ("East-North-East", 67.5),
            ("eastbound", 90.0),
            ("SOUTH", 180.0),
            ("South-West", 225.0),
            ("WSW", 247.5),
            ("west", 270.0),
            ("North-North-West", 337.5),
        ] {
            assert_eq!(degrees(word), Some(expected), "{word}");
        }
    }

    #[test]
    fn other_words_are_no_direction() {
        for word in [
            "",
            "up",
            "north-south",
            "NNN",
            "EN",
            "bound",
            "9",
            "north east of the old harbour",
        ] {
            assert_eq!(degrees(word), None, "{word}");
        }
    }
}
