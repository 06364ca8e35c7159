use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::read(
        None,
        variables
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string())),
    )
}

fn file(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("citypulse.toml");
    std::fs::write(&path, text).unwrap();
    Config::read(Some(&path), std::iter::empty())
}

#[test]
fn without_settings_everything_is_embedded() {
    let config = read(&[]).unwrap();
    assert!(!config.uses_kafka() && !config.uses_redis());
    assert_eq!(config.lake_url(), "data/lake");
    assert_eq!(config.server.host, "127.0.0.1");
}

#[test]
fn names_of_existing_deployments_are_read_and_ours_win() {
    let config = read(&[
        ("KAFKA_BOOTSTRAP_SERVERS", "k:9092"),
        ("REDIS_HOST", "r"),
        ("REDIS_PORT", "6400"),
        ("REDIS_PASSWORD", "0123"),
        ("S3_BUCKET", "city"),
        ("VEHICLE_TOPIC", "cars"),
        ("API_PORT", "8001"),
        ("CITYPULSE_SERVER__PORT", "8002"),
    ])
    .unwrap();
    assert!(config.uses_kafka() && config.uses_redis());
    assert_eq!(config.redis.port, 6400);
    assert_eq!(config.redis.password.as_deref(), Some("0123"));
    assert_eq!(config.lake_url(), "s3://city/lake");
    assert_eq!(
        config.topic_names().topic(Stream::VehicleData).as_ref(),
        "cars"
    );
    assert_eq!(config.server.port, 8002);
}

#[test]
fn limits_by_name_are_numbers_of_known_names() {
    let config = read(&[
        ("CITYPULSE_SPEED__LATENESS__GPS_DATA", "120"),
        ("CITYPULSE_SPEED__TELEPORT__BY_TYPE__TRUCK", "110"),
    ])
    .unwrap();
    assert_eq!(config.speed.lateness_us(Stream::GpsData), 120_000_000);
    assert_eq!(config.speed.lateness_us(Stream::VehicleData), 60_000_000);
    let limits = &config.speed.teleport;
    assert_eq!(limits.speed_kmh(Some("Truck")), 110.0);
    assert_eq!(limits.speed_kmh(Some("bus")), 150.0);
    let error = file("[speed.lateness]\ngps = 5\n").unwrap_err().to_string();
    assert!(
        error.contains("speed.lateness.gps") && error.contains("gps_data"),
        "{error}"
    );
    let error = file("[speed.teleport.by_type]\nbus = 0\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("speed.teleport.by_type.bus"), "{error}");
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    let error = file("[speed]\nlatenes_s = 5\n").unwrap_err().to_string();
    assert!(
        error.contains("speed.latenes_s") && error.contains("lateness_s"),
        "{error}"
    );
    let error = read(&[("CITYPULSE_SERVER__PROT", "1")])
        .unwrap_err()
        .to_string();
    assert!(error.contains("prot") && error.contains("port"), "{error}");
}

#[test]
fn a_wrong_value_is_refused_with_what_was_expected() {
    let error = read(&[("CITYPULSE_SERVER__PORT", "many")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("server.port") && error.contains("many"),
        "{error}"
    );
    let error = file("[log]\npartitions = 0\n").unwrap_err().to_string();
    assert!(
        error.contains("log.partitions") && error.contains("1 to 1024"),
        "{error}"
    );
}

#[test]
fn a_number_that_makes_no_sense_is_refused_with_its_range() {
    for (text, said) in [
        (
            "[speed]\nmatch_distance_m = nan\n",
            "speed.match_distance_m is NaN; expected 0 to 1000 metres",
        ),
        (
            "[speed]\nmatch_distance_m = -1.0\n",
            "speed.match_distance_m is -1;",
        ),
        (
            "[speed]\naccuracy_max_m = inf\n",
            "speed.accuracy_max_m is inf; expected a number above 0",
        ),
        (
            "[speed]\npanes_max = 0\n",
            "speed.panes_max is 0; expected 1 to 100000000",
        ),
        (
            "[speed]\nids_max = 0\n",
            "speed.ids_max is 0; expected 1 to 1000000000",
        ),
        (
            "[speed]\nidle_s = 0\n",
            "speed.idle_s is 0; expected 1 to 86400 seconds",
        ),
        (
            "[speed]\nwrite_interval_ms = 0\n",
            "speed.write_interval_ms is 0; expected 1 to 60000",
        ),
        (
            "[speed.lateness]\ngps_data = 4000000000\n",
            "speed.lateness.gps_data is 4000000000; expected 0 to 86400 seconds",
        ),
        (
            "[batch]\nflush_age_s = nan\n",
            "batch.flush_age_s is NaN; expected 0.1 to 86400 seconds",
        ),
        ("[batch]\nmemory_mib = 0\n", "batch.memory_mib is 0;"),
        (
            "[log]\npartitions = -1\n",
            "log.partitions is -1; expected 1 to 1024",
        ),
        (
            "[log]\nretention_hours = 9000000000000000000\n",
            "log.retention_hours is 9000000000000000000; expected 0 to 876000 hours",
        ),
        (
            "[kafka]\nreplication_factor = 0\n",
            "kafka.replication_factor is 0; expected 1 to 100",
        ),
        (
            "[maintenance]\ncompact_min_files = 0\n",
            "maintenance.compact_min_files is 0;",
        ),
        (
            "[retention]\ngps_data = 4000000000\n",
            "retention.gps_data is 4000000000;",
        ),
        (
            "[query]\ntimeout_s = 0\n",
            "query.timeout_s is 0; expected 1 to 172800 seconds",
        ),
        (
            "[http]\nwebsocket_ping_s = 0\n",
            "http.websocket_ping_s is 0; expected 1 to 86400",
        ),
        (
            "[http]\nconnections_max = 0\n",
            "http.connections_max is 0; expected 1 to 1000000",
        ),
        (
            "[generators]\ninterval_s = nan\n",
            "generators.interval_s is NaN",
        ),
        (
            "[generators.dirt]\nlate = nan\n",
            "generators.dirt.late is NaN",
        ),
    ] {
        let error = file(text).expect_err(text).to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    assert!(file("[speed]\nmatch_distance_m = 0\nlateness_s = 0\n").is_ok());
}

#[test]
fn secrets_are_not_shown() {
    let config = read(&[
        ("REDIS_URL", "redis://me:hunter2@localhost:6379"),
        ("AWS_SECRET_ACCESS_KEY", "hunter3"),
        ("REDIS_PASSWORD", "hunter4"),
    ])
    .unwrap();
    assert!(!config.masked().contains("hunter"), "{}", config.masked());
    assert!(config.masked().contains("********"));
}

#[test]
fn a_value_of_the_wrong_kind_is_explained_without_programmers_words() {
    let refused = |text: &str| file(text).unwrap_err().to_string();
    assert_eq!(
        refused("[generators]\nvehicles = \"many\"\n"),
        "setting generators.vehicles is \"many\"; expected a whole number, 0 or more"
    );
    assert_eq!(
        refused("[generators]\nvehicles = -1\n"),
        "setting generators.vehicles is -1; expected a whole number, 0 or more"
    );
    assert_eq!(
        refused("[generators]\nrate = \"fast\"\n"),
        "setting generators.rate is \"fast\"; expected \"interval\", \"max\" or a number of events a \
         second above 0"
    );
    assert_eq!(
        refused("[server]\nport = 70000\n"),
        "setting server.port is 70000; expected a whole number from 0 to 65535"
    );
    assert_eq!(
        refused("server = 1\n"),
        "setting server is 1; expected a section with keys of its own"
    );
}

#[test]
fn a_city_that_makes_no_sense_is_refused_by_every_command() {
    let error = file("[generators]\ninterval_s = 0.0\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "setting generators.interval_s is 0: expected 1 to 60 seconds"
    );
}

#[test]
fn an_empty_bundle_of_certificates_is_none() {
    for name in ["AWS_CA_BUNDLE", "CITYPULSE_S3__CA_FILE"] {
        let config = read(&[(name, "")]).unwrap();
        assert_eq!(config.s3.access().ca_file, None, "{name}");
    }
}

#[test]
fn every_variable_of_aws_that_the_client_takes_is_a_setting() {
    let config = read(&[
        ("AWS_DEFAULT_REGION", "eu-north-1"),
        ("AWS_ENDPOINT_URL_S3", "https://s3.example.org"),
        ("AWS_ENDPOINT_URL", "https://all.example.org"),
        ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "1"),
        ("AWS_CA_BUNDLE", "/ca.pem"),
        ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms"),
        ("AWS_SSE_KMS_KEY_ID", "arn:key"),
        ("AWS_SSE_CUSTOMER_KEY_BASE64", "hunter2"),
        ("AWS_PROXY_URL", "http://me:hunter3@proxy:3128"),
        ("AWS_TIMEOUT", "20s"),
        ("AWS_REQUEST_PAYER", "true"),
        ("AWS_PAGER", "less"),
        ("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "hunter4"),
        ("CITYPULSE_S3__AWS__ROLE_ARN", "arn:role"),
    ])
    .unwrap();
    let s3 = &config.s3;
    assert_eq!(s3.region, "eu-north-1");
    assert_eq!(s3.endpoint.as_deref(), Some("https://s3.example.org"));
    assert!(s3.virtual_hosted_style);
    let access = s3.access();
    assert_eq!(access.ca_file.as_deref(), Some(Path::new("/ca.pem")));
    let names: Vec<&str> = access.more.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "proxy_url",
            "request_payer",
            "role_arn",
            "server_side_encryption",
            "sse_customer_key_base64",
            "sse_kms_key_id",
            "timeout"
        ]
    );
    assert!(!config.masked().contains("hunter"), "{}", config.masked());
    let written = file("[s3.aws]\ntimeout = \"20s\"\n").unwrap();
    assert_eq!(written.s3.aws["timeout"], access.more["timeout"]);

    let both = read(&[("AWS_DEFAULT_REGION", "a"), ("AWS_REGION", "b")]);
    assert_eq!(both.unwrap().s3.region, "b");
}

#[test]
fn a_setting_of_the_s3_client_that_cannot_be_read_is_refused() {
    for (variable, value, expected) in [
        ("AWS_REQUEST_PAYER", "perhaps", "true or false"),
        ("AWS_TIMEOUT", "long", "30s"),
        ("AWS_CONDITIONAL_PUT", "disabled", "etag"),
        (
            "AWS_ENDPOINT_URL",
            "127.0.0.1:9000",
            "http://127.0.0.1:9000",
        ),
        ("AWS_ENDPOINT_URL", "localhost:9000", "https://"),
        (
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
            "perhaps",
            "true or false",
        ),
        ("CITYPULSE_S3__AWS__TOKEN", "hunter2", "s3.session_token"),
        ("CITYPULSE_S3__AWS__TOKENS", "x", "knows"),
    ] {
        let error = read(&[(variable, value)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter"), "{error}");
        assert!(value == "hunter2" || error.contains(value), "{error}");
    }
}

#[test]
fn a_lake_needs_no_key_where_requests_are_signed_otherwise() {
    let others = [
        &[("AWS_SKIP_SIGNATURE", "true")][..],
        &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")],
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
            ("AWS_ROLE_ARN", "arn:role"),
        ],
    ];
    for other in others {
        let mut variables = vec![
            ("S3_BUCKET", "city"),
            ("AWS_ENDPOINT_URL", "https://s3.example.org"),
        ];
        assert!(read(&variables).unwrap().check_lake_keys().is_err());
        variables.extend(other);
        assert!(read(&variables).unwrap().check_lake_keys().is_ok());
    }
}

#[test]
fn replaced_files_stay_as_long_as_jobs_may_read_them() {
    let refused = |text: &str| file(text).unwrap_err().to_string();
    let error = refused("[maintenance]\nvacuum_retain_hours = 5\n");
    assert!(error.contains("6 to 8760 hours"), "{error}");
    let job = "[[jobs]]\nname = \"a\"\nfile = \"a.sql\"\ncron = \"0 0 * * *\"\noutput = \"o\"\n\
               timeout_s = 90000\n[maintenance]\nvacuum_retain_hours = 24\n";
    let error = refused(job);
    assert!(error.contains("25 to 8760 hours"), "{error}");
}

#[test]
fn a_server_of_ones_own_needs_keys_and_the_error_says_where_they_are() {
    let stack = [
        ("CITYPULSE_LAKE__URL", "s3://citypulse/lake"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
    ];
    let error = read(&stack).unwrap().check_lake_keys().unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("stack/env")
            && error.contains("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        "{error}"
    );
    let half = [stack[0], stack[1], ("AWS_ACCESS_KEY_ID", "me")];
    let error = read(&half).unwrap().check_lake_keys().unwrap_err();
    assert!(
        error
            .to_string()
            .contains(": AWS_SECRET_ACCESS_KEY not set")
    );
    // AWS itself also takes roles and profiles.
    assert!(read(&stack[..1]).unwrap().check_lake_keys().is_ok());
    assert!(read(&[]).unwrap().check_lake_keys().is_ok());
}

#[test]
fn redis_is_one_server_a_cluster_or_behind_sentinels() {
    use hot_store::Layout;
    let cluster = read(&[
        ("REDIS_HOST", "a"),
        ("CITYPULSE_REDIS__CLUSTER", "true"),
        ("CITYPULSE_REDIS__NODES", "b:1,c:2"),
    ]);
    let access = cluster.unwrap().redis.access();
    assert_eq!(access.url, "redis://a:6379");
    assert!(matches!(access.layout, Layout::Cluster { nodes } if nodes == ["b:1", "c:2"]));
    let text =
        "[redis.sentinel]\nmaster = \"city\"\nnodes = [\"s:26379\"]\npassword = \"hunter5\"\n";
    let config = file(text).unwrap();
    assert!(config.uses_redis() && !config.masked().contains("hunter5"));
    let layout = config.redis.access().layout;
    assert!(matches!(layout, Layout::Sentinel { primary, .. } if primary == "city"));
    for (text, key) in [
        ("[redis]\nnodes = [\"a:1\"]\n", "redis.nodes"),
        ("[redis]\ncluster = true\nnodes = [\"a\"]\n", "redis.nodes"),
        ("[redis.sentinel]\nmaster = \"c\"\n", "redis.sentinel.nodes"),
        (
            "[redis.sentinel]\nnodes = [\"a:1\"]\n",
            "redis.sentinel.master",
        ),
        (
            "[redis]\nhost = \"h\"\n[redis.sentinel]\nmaster = \"c\"\nnodes = [\"a:1\"]\n",
            "redis.host",
        ),
        (
            "[redis]\ncluster = true\n[redis.sentinel]\nmaster = \"c\"\nnodes = [\"a:1\"]\n",
            "redis.cluster",
        ),
    ] {
        let error = file(text).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}
