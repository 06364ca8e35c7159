//! SQL over lake and log: what it answers, and what it refuses.

#[path = "../common/mod.rs"]
mod common;

mod city;
mod formats;
mod limits;
mod one_table;
mod refusals;
mod upkeep;
