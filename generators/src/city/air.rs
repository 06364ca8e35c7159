//! The air quality index of the US EPA.
//!
//! Breakpoints: EPA-454/B-24-002 (May 2024), PM2.5 and PM10 24 h, NO2 1 h.
//! Piecewise linear; the index of the air is that of its worst pollutant.

/// The index at each breakpoint, matching the concentration tables.
const INDEX: [f64; 7] = [0.0, 50.0, 100.0, 150.0, 200.0, 300.0, 500.0];
const PM25_UG_M3: [f64; 7] = [0.0, 9.0, 35.4, 55.4, 125.4, 225.4, 325.4];
const PM10_UG_M3: [f64; 7] = [0.0, 54.0, 154.0, 254.0, 354.0, 424.0, 604.0];
const NO2_PPB: [f64; 7] = [0.0, 53.0, 100.0, 360.0, 649.0, 1249.0, 2049.0];
/// 25 degrees C, 1 atm.
const NO2_UG_M3_PER_PPB: f64 = 1.88;

/// 0 to 500, whole.
pub(crate) fn quality_index(pm25_ug_m3: f64, pm10_ug_m3: f64, no2_ug_m3: f64) -> f64 {
    let pm25 = interpolate(pm25_ug_m3, &PM25_UG_M3);
    let pm10 = interpolate(pm10_ug_m3, &PM10_UG_M3);
    let no2 = interpolate(no2_ug_m3 / NO2_UG_M3_PER_PPB, &NO2_PPB);
    pm25.max(pm10).max(no2).round()
}

fn interpolate(concentration: f64, breakpoints: &[f64; 7]) -> f64 {
    let concentration = concentration.max(0.0);
    for step in 1..breakpoints.len() {
        let (low, high) = (breakpoints[step - 1], breakpoints[step]);
        if concentration <= high {
            return INDEX[step - 1]
                + (INDEX[step] - INDEX[step - 1]) * (concentration - low) / (high - low);
        }
    }
    500.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_meets_its_breakpoints_and_takes_the_worst() {
        assert_eq!(quality_index(9.0, 0.0, 0.0), 50.0);
        assert_eq!(quality_index(35.4, 10.0, 0.0), 100.0);
        assert_eq!(quality_index(5.0, 154.0, 0.0), 100.0);
        assert_eq!(quality_index(5.0, 10.0, 100.0 * 1.88), 100.0);
        assert_eq!(quality_index(1e6, 0.0, 0.0), 500.0);
    }
}
