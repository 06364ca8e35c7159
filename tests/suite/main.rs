//! The platform as its users meet it. Each file is one thing that must hold.

mod alerts;
mod audit;
mod bad_input;
mod command_line;
mod compose_file;
mod crash;
mod dashboard;
#[cfg(feature = "distributed")]
mod distributed;
mod endpoints;
mod exactly_once;
mod exactness;
mod existing_producers;
mod fences;
mod import;
mod import_beside;
mod jobs;
mod living_city;
mod other_servers;
mod outage;
mod pressure;
mod replay_recording;
mod scale_out;
mod seam;
mod shutdown;
mod start_refused;
mod time_to_live;
mod upkeep;
mod websocket;
mod windows;
