//! Compass words to degrees.

/// Degrees clockwise from north of one of the 16 compass points: `North-East`,
/// `NE`, `north east`, `NNW`, `south_south_west`, `westbound`.
pub(super) fn degrees(word: &str) -> Option<f64> {
    let mut rest = word.trim().as_bytes();
    if let Some((name, ending)) = rest.split_last_chunk::<5>()
        && ending.eq_ignore_ascii_case(b"bound")
    {
        rest = name;
    }
    let mut letters = [0; 3];
    let mut count = 0;
    while let Some((&first, others)) = rest.split_first() {
        rest = others;
        if matches!(first, b' ' | b'-' | b'_') {
            continue;
        }
        let (letter, after_first): (u8, &[u8]) = match first.to_ascii_lowercase() {
            b'n' => (b'n', b"orth"),
            b'e' => (b'e', b"ast"),
            b's' => (b's', b"outh"),
            b'w' => (b'w', b"est"),
            _ => return None,
        };
        if let Some((spelled, others)) = rest.split_at_checked(after_first.len())
            && spelled.eq_ignore_ascii_case(after_first)
        {
            rest = others;
        }
        *letters.get_mut(count)? = letter;
        count += 1;
    }
    let point = POINTS
        .iter()
        .position(|name| name.as_bytes() == &letters[..count])?;
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
