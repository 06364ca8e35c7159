//! Commands and flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use distributed::Address;
use generators::Rate;
use generators::replay::{Speed, TimeFormat};

use crate::{flags, terminal};

/// The live city, on one machine or many.
#[derive(Parser)]
#[command(
    name = "citypulse",
    version,
    about = "CityPulse shows a living city on a map, and answers SQL over all that ever happened in it.",
    long_about = None,
    before_help = "Start here:  citypulse up      then open http://127.0.0.1:8000\n\
                   Ask:         citypulse sql \"SELECT count(*) FROM vehicle_data\"\n\
                   Own data:    citypulse replay --format auto FILE...\n\
                   Real servers: citypulse up --config infra/stack.toml   (Kafka, Redis, S3)",
    after_help = "Exit codes: 0 done, 1 failed, 2 bad usage. `citypulse COMMAND --help` gives an example.",
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Configuration file (TOML); see `citypulse config` for every setting
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the embedded back ends' data [default: data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// HTTP port [default: 8000]
    #[arg(long, global = true, value_name = "N")]
    pub port: Option<u16>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Port of /livez, /readyz and /metrics of speed, batch and generate [default: none]
    #[arg(long, global = true, value_name = "N")]
    pub metrics_port: Option<u16>,
    /// Postgres wire port; this version has no such door yet
    #[arg(long, global = true, value_name = "N")]
    pub pg_port: Option<u16>,
    /// Flight SQL port; this version has no such door yet
    #[arg(long, global = true, value_name = "N")]
    pub flight_port: Option<u16>,
    /// What is logged: error, warn, info, debug, or target=level
    #[arg(long, global = true, value_name = "FILTER", default_value = "info", value_parser = terminal::log_filter)]
    pub log: String,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run everything in one process: the city, all layers, the dashboard
    #[command(after_help = "Example: citypulse up --port 8080 --data-dir /var/lib/citypulse")]
    Up(UpArgs),
    /// Append the simulated city's events to the log
    #[command(after_help = "Example: citypulse generate --config infra/stack.toml --rate 5000")]
    Generate(GenerateArgs),
    /// Feed recorded data in: to Kafka where configured, else to a running instance
    #[command(
        after_help = "Example: citypulse replay --format cabspotting taxis.csv.gz --speed 60x --rebase now"
    )]
    Replay(ReplayArgs),
    /// Load files of history straight into the lake; the same file twice adds nothing
    #[command(
        after_help = "Example: citypulse import taxis-2008.csv.gz taxis-2009.csv.gz --stream gps_data --map device_id=cab"
    )]
    Import(ImportArgs),
    /// Run the speed layer: log to hot store
    #[command(after_help = "Example: citypulse speed --config infra/stack.toml\n\
                      A hot store that was lost: citypulse speed --rebuild")]
    Speed(SpeedArgs),
    /// Run the batch layer: log to lake
    #[command(after_help = "Example: citypulse batch --config infra/stack.toml")]
    Batch,
    /// Run the serving layer: REST, WebSocket, SQL and the dashboard
    #[command(after_help = "Example: citypulse serve --config infra/stack.toml --port 8000")]
    Serve,
    /// Answer an SQL query over the lake and the log's tail
    #[command(
        after_help = "Example: citypulse sql \"SELECT device_id, max(speed) FROM gps_data GROUP BY 1\" --format csv"
    )]
    Sql(SqlArgs),
    /// Run SQL with its result as files, and see what became of scheduled runs
    #[command(
        subcommand,
        after_help = "Example: citypulse job run daily.sql --param from=2026-03-01 --output s3://reports/daily/ --partition-by date"
    )]
    Job(JobCommand),
    /// Merge the lake's small files into large ones, beside running readers and writers
    #[command(after_help = "Example: citypulse compact --table vehicle_data --dry-run")]
    Compact(CompactArgs),
    /// Remove files that no version of the lake needs any more
    #[command(after_help = "Example: citypulse vacuum --retain-hours 24 --dry-run")]
    Vacuum(VacuumArgs),
    /// Remove dates that are older than their table's retention
    #[command(after_help = "Examples: citypulse retention --dry-run\n          \
                      citypulse retention --lifecycle > lifecycle.json")]
    Retention(RetentionArgs),
    /// Compute dates of the views anew from the raw tables
    #[command(
        after_help = "Examples: citypulse recompute --view traffic_hourly --from 2026-03-01 --to 2026-03-31\n          \
                      citypulse recompute --view all --from 2026-03-01 --to 2026-03-01 --as-new"
    )]
    Recompute(RecomputeArgs),
    /// Compare what the speed layer said of each minute with what its events amount to
    #[command(after_help = "Examples: citypulse audit --window 6\n          \
                      citypulse audit --window 1 --heal --json")]
    Audit(AuditArgs),
    /// Create the topics that are missing, and list all with their extent
    #[command(after_help = "Example: citypulse topics --config infra/stack.toml")]
    Topics,
    /// Show the effective configuration, secrets masked
    #[command(after_help = "Example: citypulse config > citypulse.toml")]
    Config,
    /// Check that each back end can be reached, and say what to do if not
    #[command(after_help = "Example: citypulse doctor --config infra/stack.toml")]
    Doctor,
}

#[derive(Args, Clone, Debug, Default)]
pub struct SpeedArgs {
    /// Forget the stored state first, and fold the log's retained part again;
    /// other speed processes may go on running
    #[arg(long)]
    pub rebuild: bool,
}

#[derive(Args, Clone, Debug, Default)]
pub struct UpArgs {
    /// Do not simulate a city; wait for data of your own
    #[arg(long, conflicts_with_all = ["vehicles", "seed", "interval", "rate", "dirt"])]
    pub no_generators: bool,
    #[command(flatten)]
    pub generate: GenerateArgs,
}

#[derive(Args, Clone, Debug, Default)]
pub struct GenerateArgs {
    /// Vehicles in the simulated city [default: 500]
    #[arg(long, value_name = "N", value_parser = flags::vehicles)]
    pub vehicles: Option<usize>,
    /// The city's seed number: the same seed gives the same city
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Seconds between two fixes of a vehicle, 1 to 60 [default: 1]
    #[arg(long, value_name = "SECONDS", value_parser = flags::interval)]
    pub interval: Option<f64>,
    /// Events per second, or `max`; instead of --interval
    #[arg(long, value_name = "N|max", value_parser = flags::rate, conflicts_with = "interval")]
    pub rate: Option<Rate>,
    /// Share of dirty events in percent, 0 to 100 [default: about 2]
    #[arg(long, value_name = "PERCENT", value_parser = flags::dirt)]
    pub dirt: Option<f64>,
}

#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Files, also .gz and .zst
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What the files are
    #[arg(long, value_enum, default_value_t = ReplayFormat::Auto)]
    pub format: ReplayFormat,
    /// Topic for ndjson and csv
    #[arg(long, value_name = "TOPIC")]
    pub stream: Option<String>,
    /// For csv: which column holds a field; repeatable
    #[arg(long, value_name = "FIELD=COLUMN", value_parser = flags::mapping)]
    pub map: Vec<(String, String)>,
    /// For csv: how times are written, where not in a known form
    #[arg(long, value_name = "%d/%m/%Y %H:%M", value_parser = flags::time_format)]
    pub time_format: Option<TimeFormat>,
    /// As recorded (1x), faster (60x), or as fast as possible (max)
    #[arg(long, default_value = "1x", value_name = "1x|60x|max", value_parser = flags::speed)]
    pub speed: Speed,
    /// Shift event times so that the recording starts now
    #[arg(long, value_name = "now", value_parser = ["now"])]
    pub rebase: Option<String>,
    /// A running instance
    #[arg(long, value_name = "URL", value_parser = flags::address)]
    pub to: Option<String>,
    /// Begin anew although an earlier run was interrupted
    #[arg(long)]
    pub restart: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Files: CSV, NDJSON or a recording, also .gz and .zst, or Parquet
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What the files are; Parquet is told by its first bytes
    #[arg(long, value_enum, default_value_t = ReplayFormat::Auto)]
    pub format: ReplayFormat,
    /// Topic for ndjson, csv and parquet
    #[arg(long, value_name = "TOPIC")]
    pub stream: Option<String>,
    /// For csv and parquet: which column holds a field; repeatable. The timestamp may be of
    /// several: timestamp=year,month,day,hour,+08:00
    #[arg(long, value_name = "FIELD=COLUMN")]
    pub map: Vec<String>,
    /// For csv and parquet: what a field is in every row; repeatable
    #[arg(long, value_name = "FIELD=VALUE", value_parser = flags::assignment)]
    pub set: Vec<(String, String)>,
    /// For csv and parquet: how times are written, where not in a known form
    #[arg(long, value_name = "%d/%m/%Y %H:%M", value_parser = flags::time_format)]
    pub time_format: Option<TimeFormat>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFormat {
    Auto,
    Ndjson,
    Csv,
    Cabspotting,
    Capmetro,
    GtfsRt,
    SfFire,
}

#[derive(Args, Clone, Debug)]
pub struct SqlArgs {
    /// The query
    pub query: String,
    /// How rows come out
    #[arg(long, value_enum, default_value_t = RowFormat::Table)]
    pub format: RowFormat,
    /// Ask this running instance [default: the one that holds the data folder]
    #[arg(long, value_name = "URL", value_parser = flags::address)]
    pub to: Option<String>,
    /// Skip the wait for what was appended a moment ago
    #[arg(long)]
    pub relaxed: bool,
}

#[derive(Subcommand, Clone, Debug)]
pub enum JobCommand {
    /// Run one SELECT over every table and write its result to a folder or a bucket
    #[command(
        after_help = "Example: citypulse job run kilometres.sql --param from=2026-03-01 --param type=bus \\\n         \
                      --output s3://reports/km/ --format parquet --partition-by date,vehicle_type\n\n\
                      In the file, $from stands for the value; its type is declared in the head:\n         \
                      -- param from: timestamp = 2026-01-01\n\n\
                      Nobody sees half a result: it is whole when _SUCCESS is there. docs/jobs.md says more."
    )]
    Run(Box<JobRunArgs>),
    /// List the scheduled jobs: last and next run, and how far the one under way is
    #[command(after_help = "Example: citypulse job list --config citypulse.toml")]
    List,
    /// Show what became of runs, the newest first
    #[command(after_help = "Example: citypulse job history daily --limit 5")]
    History(JobHistoryArgs),
    /// Cancel the run of a scheduled job that is under way, in whichever process
    #[command(after_help = "Example: citypulse job cancel daily --config citypulse.toml")]
    Cancel(JobCancelArgs),
    /// Share the work of jobs out among executors (a binary built with `distributed`)
    #[command(after_help = "Example: citypulse job scheduler --listen 127.0.0.1:50050")]
    Scheduler(JobSchedulerArgs),
    /// Do a share of the work of jobs, over the configured lake (a binary built with `distributed`)
    #[command(
        after_help = "Example: citypulse job executor --scheduler 127.0.0.1:50050 --slots 4 --memory 4096\n\n\
                      It reaches the lake by its own configuration and environment, as every other command."
    )]
    Executor(JobExecutorArgs),
}

#[derive(Args, Clone, Debug)]
pub struct JobRunArgs {
    /// A file with one SELECT or WITH
    #[arg(value_name = "FILE.sql")]
    pub file: PathBuf,
    /// Value of a parameter; repeatable
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = flags::assignment)]
    pub params: Vec<(String, String)>,
    /// A folder or s3://bucket/prefix/ of its own; {date} and {time} are those of the start
    #[arg(long, value_name = "PLACE")]
    pub output: String,
    /// What the files are; json is one object a line
    #[arg(long, value_enum, default_value_t = JobFormat::Parquet)]
    pub format: JobFormat,
    /// Columns that make folders, as Hive names them
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub partition_by: Vec<String>,
    /// Replace an earlier result
    #[arg(long)]
    pub overwrite: bool,
    /// Memory of sorts, joins and aggregates, MiB; beyond it they spill to disk
    #[arg(long, value_name = "MIB", default_value = "512", value_parser = flags::memory_limit)]
    pub memory_limit: usize,
    /// Most that spills at once, MiB
    #[arg(long, value_name = "MIB", default_value = "51200", value_parser = flags::spill_limit)]
    pub spill_limit: u64,
    /// Begin again so often where a server was away
    #[arg(long, value_name = "N", default_value = "3", value_parser = flags::retries)]
    pub retries: u32,
    /// Stop after so many seconds, all tries together
    #[arg(long, value_name = "SECONDS", default_value = "21600", value_parser = flags::timeout)]
    pub timeout: u64,
    /// Read the lake alone, without what the log holds behind it
    #[arg(long)]
    pub lake_only: bool,
    /// Say what would be done; read no rows and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Let the executors of this scheduler do the work (`citypulse job scheduler`)
    #[arg(long, value_name = "HOST:PORT")]
    pub distributed: Option<Address>,
}

#[derive(Args, Clone, Debug)]
pub struct JobSchedulerArgs {
    /// Where jobs and executors come to
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50050")]
    pub listen: Address,
    /// Host under which executors reach it [default: that of --listen]
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct JobExecutorArgs {
    /// Who gives it work
    #[arg(long, value_name = "HOST:PORT")]
    pub scheduler: Address,
    /// Where rows are fetched; orders come to the port after it. Port 0 takes any two
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub listen: Address,
    /// Folder for computed and spilled rows [default: tmp in the data folder]
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// Parts of jobs worked on at once [default: one a core]
    #[arg(long, value_name = "N", value_parser = flags::slots)]
    pub slots: Option<usize>,
    /// Memory of sorts, joins and aggregates of all slots, MiB; beyond it they spill to disk
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = flags::memory_limit)]
    pub memory: usize,
    /// Most that spills at once, MiB
    #[arg(long, value_name = "MIB", default_value = "51200", value_parser = flags::spill_limit)]
    pub spill_limit: u64,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFormat {
    Parquet,
    Csv,
    Json,
}

#[derive(Args, Clone, Debug)]
pub struct JobCancelArgs {
    /// The job, as it is configured
    pub name: String,
}

#[derive(Args, Clone, Debug)]
pub struct JobHistoryArgs {
    /// Only this job
    pub name: Option<String>,
    /// Most runs shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

#[derive(Args, Clone, Debug)]
pub struct CompactArgs {
    /// Only this table; repeatable
    #[arg(long, value_name = "TABLE", value_parser = flags::table)]
    pub table: Vec<lake::Table>,
    /// Say what there is to do and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Clone, Debug)]
pub struct VacuumArgs {
    /// Only this table; repeatable
    #[arg(long, value_name = "TABLE", value_parser = flags::table)]
    pub table: Vec<lake::Table>,
    /// Say what would be removed and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Keep replaced files this long for readers in other processes [default: 48]
    #[arg(long, value_name = "N", value_parser = flags::retain_hours)]
    pub retain_hours: Option<u64>,
    /// Also keep them for a shorter time than a job may run that reads them
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Clone, Debug)]
pub struct RetentionArgs {
    /// Only this table; repeatable
    #[arg(long, value_name = "TABLE", value_parser = flags::table)]
    pub table: Vec<lake::Table>,
    /// Say what would be removed and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Also remove rows that arrived less than retention.grace_days ago
    #[arg(long)]
    pub no_grace: bool,
    /// Print rules by which AWS S3 moves old files to cheaper storage, as JSON; other
    /// servers have other storage classes
    #[arg(long, conflicts_with_all = ["dry_run", "table", "no_grace"])]
    pub lifecycle: bool,
}

#[derive(Args, Clone, Debug)]
pub struct RecomputeArgs {
    /// Which view, or `all`
    #[arg(long, value_name = "VIEW", value_parser = flags::views)]
    pub view: flags::ViewList,
    /// The first date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = flags::date, required_unless_present = "draft")]
    pub from: Option<i32>,
    /// The last date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = flags::date, required_unless_present = "draft")]
    pub to: Option<i32>,
    /// Write tables named VIEW__new beside, and say how they differ
    #[arg(long)]
    pub as_new: bool,
    /// Put what VIEW__new has in the place of what the view has on its dates
    #[arg(long, group = "draft", conflicts_with_all = ["from", "to", "as_new"])]
    pub adopt: bool,
    /// Remove VIEW__new
    #[arg(long = "drop", group = "draft", conflicts_with_all = ["from", "to", "as_new"])]
    pub drop_draft: bool,
}

#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    /// How far back, in hours from the newest event
    #[arg(long, value_name = "HOURS", value_parser = flags::audit_hours, default_value = "1")]
    pub window: u32,
    /// Say anew what differs: in the topic `windows`, and in the hot store where live
    #[arg(long)]
    pub heal: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Ask this running instance [default: the one that holds the data folder]
    #[arg(long, value_name = "URL", value_parser = flags::address)]
    pub to: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    Table,
    Csv,
    Json,
    Parquet,
}
