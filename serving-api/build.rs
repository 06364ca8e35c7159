//! The dashboard's built files are embedded at compile time. Cargo sees a
//! changed file by itself, but not a new one or a first build.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A folder that is missing counts as changed each time: what was compiled
    // without a dashboard is compiled again once there is one.
    println!("cargo:rerun-if-changed=../dashboard/dist");
}
