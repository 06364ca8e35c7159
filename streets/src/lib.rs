//! streets
