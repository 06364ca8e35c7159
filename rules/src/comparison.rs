//! When a value is beyond its threshold, and when it no longer is.

/// How a value is compared with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparison {
    /// Every comparison as it is written.
    pub const ALL: [(&'static str, Comparison); 6] = [
        (">", Self::Above),
        (">=", Self::AtLeast),
        ("<", Self::Below),
        ("<=", Self::AtMost),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
    ];

    /// Reads a comparison.
    pub fn parse(text: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, comparison)| *comparison)
    }

    /// Whether `value` compared with `threshold` is true.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
        }
    }

    /// Whether larger values are worse: `None` where there is no better or worse.
    pub fn rises(self) -> Option<bool> {
        match self {
            Self::Above | Self::AtLeast => Some(true),
            Self::Below | Self::AtMost => Some(false),
            Self::Equal | Self::NotEqual => None,
        }
    }

    /// Whether `value` is worse than `before`; any other one where there is no
    /// better or worse.
    pub fn is_worse(self, value: f64, before: f64) -> bool {
        match self.rises() {
            Some(true) => value > before,
            Some(false) => value < before,
            None => value != before,
        }
    }
}

/// A comparison with a threshold to raise and one to clear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// How values are compared.
    pub comparison: Comparison,
    /// Beyond this an alert is raised.
    pub threshold: f64,
    /// Beyond this an alert that was raised stays.
    pub clear_threshold: f64,
}

impl Condition {
    /// Whether an alert is to be raised.
    pub fn is_met(&self, value: f64) -> bool {
        self.comparison.holds(value, self.threshold)
    }

    /// Whether a raised alert is over.
    pub fn is_over(&self, value: f64) -> bool {
        !self.comparison.holds(value, self.clear_threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_the_thresholds_nothing_changes() {
        let hot = Condition {
            comparison: Comparison::Above,
            threshold: 30.0,
            clear_threshold: 28.0,
        };
        assert!(!hot.is_met(30.0) && hot.is_met(30.1));
        assert!(!hot.is_over(29.0) && hot.is_over(28.0));
        let cold = Condition {
            comparison: Comparison::AtMost,
            threshold: -10.0,
            clear_threshold: -8.0,
        };
        assert!(cold.is_met(-10.0) && !cold.is_over(-8.0) && cold.is_over(-7.9));
    }

    #[test]
    fn every_comparison_is_read_by_its_sign() {
        for (text, comparison) in Comparison::ALL {
            assert_eq!(Comparison::parse(text), Some(comparison));
            assert_eq!(
                comparison.holds(1.0, 1.0),
                matches!(text, ">=" | "<=" | "==")
            );
        }
        assert_eq!(Comparison::parse("=>"), None);
        assert!(Comparison::Below.is_worse(1.0, 2.0) && !Comparison::Above.is_worse(1.0, 2.0));
    }
}
