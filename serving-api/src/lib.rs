//! serving-api
