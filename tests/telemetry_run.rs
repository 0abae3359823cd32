//! `mtok run` with a scripted driver: every fault of a card, and what the run makes of it.
//!
//! The engine is simulated on the machine's clock, so that the sensors are read while it works.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like a test"
)]

use std::path::PathBuf;
use std::process::{Command, Output};

use fake_nvml::install::install;
use fake_nvml::script::{
    Card, ENGINE, Event, Fault, Owner, Process, Script, Sensors, Series, Slice,
};
use serde_json::Value;

/// Two points, three blocks of 0.2 s each.
const STUDY: &str = "[sweep]\nprecision = [\"bf16\"]\nbatch = [1, 2]\nisl = [16]\nosl = [4]\n\
    [measure]\nmin_blocks = 3\nmax_blocks = 3\nmin_block_seconds = 0.2\nmax_seconds = 20\n\
    warmup_seconds = 0\nlaunches = 1\ntarget_ci = 0.9\n";

fn driver(card: Card) -> Script {
    Script {
        cards: vec![card],
        ..Script::default()
    }
}

fn failing(faults: Vec<Fault>) -> Script {
    Script {
        faults,
        ..driver(Card::working())
    }
}

/// How the program finds the driver's library.
#[derive(Clone, Copy)]
enum Found {
    ByName,
    ByPath,
    /// Not at all, even where the machine has a driver of its own.
    Nowhere,
}

/// A folder with an engine, a study and a driver.
struct Bench {
    folder: tempfile::TempDir,
    found: Found,
}

impl Bench {
    /// A machine without a driver.
    fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("engine.toml"), ENGINE).unwrap();
        std::fs::write(folder.path().join("study.toml"), STUDY).unwrap();
        let found = Found::Nowhere;
        Self { folder, found }
    }

    fn new(script: &Script) -> Self {
        Self::lacking(script, &[])
    }

    /// The engine with other numbers.
    fn with_engine(self, from: &str, to: &str) -> Self {
        let engine = ENGINE.replace(from, to);
        assert_ne!(engine, ENGINE, "{from}");
        std::fs::write(self.folder.path().join("engine.toml"), engine).unwrap();
        self
    }

    /// The study with other settings.
    fn with_study(self, from: &str, to: &str) -> Self {
        let study = STUDY.replace(from, to);
        assert_ne!(study, STUDY, "{from}");
        std::fs::write(self.folder.path().join("study.toml"), study).unwrap();
        self
    }

    fn lacking(script: &Script, missing: &[&str]) -> Self {
        let mut bench = Self::bare();
        install(bench.folder.path(), script, missing).unwrap();
        bench.found = Found::ByName;
        bench
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn mtok(&self, arguments: &[&str]) -> Output {
        self.mtok_where(&[], arguments)
    }

    /// Runs the program with these variables, and with none that hides or orders cards beside them.
    fn mtok_where(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mtok"));
        command.args(arguments).env_remove("MTOK_NVML_LIBRARY");
        let path = |name: &str| self.folder.path().join(name);
        match self.found {
            Found::ByName => command.env("LD_LIBRARY_PATH", self.folder.path()),
            Found::ByPath => command.env("MTOK_NVML_LIBRARY", path(fake_nvml::install::LIBRARY)),
            Found::Nowhere => command.env("MTOK_NVML_LIBRARY", path("nowhere.so")),
        };
        command
            .env_remove("CUDA_VISIBLE_DEVICES")
            .env_remove("CUDA_DEVICE_ORDER")
            .envs(variables.iter().copied());
        command.output().unwrap()
    }

    fn run(&self, flags: &[&str]) -> Ran {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let (study, out) = (path("study.toml"), path("out"));
        let engine = format!("sim:{}", path("engine.toml"));
        let mut arguments = vec!["run", &study, "--engine", &engine, "--out", &out, "--json"];
        arguments.extend(flags);
        let output = self.mtok(&arguments);
        Ran {
            code: output.status.code().unwrap(),
            json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            said: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.out().join("run.jsonl")).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn blocks(&self) -> Vec<Value> {
        let mut records = self.records();
        records.retain(|record| record["type"] == "block");
        records
    }

    /// What `mtok verify` says of the folder, which is in order.
    #[track_caller]
    fn verifies(&self) -> String {
        let output = self.mtok(&["verify", self.out().to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn report(&self) -> String {
        std::fs::read_to_string(self.out().join("report.md")).unwrap()
    }
}

/// What a run said.
struct Ran {
    code: i32,
    json: Value,
    said: String,
}

impl Ran {
    /// Messages of the warnings with this code.
    fn warnings(&self, code: &str) -> Vec<&str> {
        let all = self.json["warnings"]
            .as_array()
            .unwrap_or_else(|| panic!("{}", self.said));
        all.iter()
            .filter(|warning| warning["code"] == code)
            .map(|warning| warning["message"].as_str().unwrap())
            .collect()
    }
}

/// The point of a study does not suffer from a card in order.
#[test]
fn a_card_in_order_is_read_through_the_whole_run() {
    let bench = Bench::new(&driver(Card::working()));
    let ran = bench.run(&["--require-telemetry"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    for code in [
        "throttled",
        "clocks",
        "foreign_use",
        "foreign_use_unknown",
        "card_changed",
        "telemetry_missing",
        "memory_near_limit",
    ] {
        assert_eq!(ran.warnings(code), Vec::<&str>::new(), "{code}");
    }
    bench.verifies();
    let records = bench.records();
    let device = records.iter().find(|r| r["type"] == "device").unwrap();
    assert_eq!(device["card"]["max_sm_clock_mhz"], 1_980);
    assert_eq!(device["card"]["power_limit_mw"], 700_000);
    assert_eq!(device["driver"], "570.124.06");
    assert!(
        device["before"]["columns"]["power_mw"]
            .as_array()
            .unwrap()
            .len()
            > 20
    );
    let end = records.last().unwrap();
    assert!(end["after"]["columns"]["process_count"].is_array());
    for block in bench.blocks() {
        let sensors = &block["sensors"];
        let times = sensors["at_ns"].as_array().unwrap();
        let first = times[0].as_u64().unwrap();
        let last = times[times.len() - 1].as_u64().unwrap();
        let started = block["started"]["monotonic_ns"].as_u64().unwrap();
        let wall = block["cpu"]["wall_ns"].as_u64().unwrap();
        assert!(first <= started && started + wall <= last, "{block}");
        let power = sensors["columns"]["power_mw"].as_array().unwrap();
        assert_eq!(power.len(), times.len());
        assert!(power.iter().any(|value| value == 400_000));
    }
}

#[test]
fn the_library_is_found_by_its_path_too() {
    let mut bench = Bench::new(&driver(Card::working()));
    bench.found = Found::ByPath;
    let ran = bench.run(&["--require-telemetry"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert_eq!(ran.warnings("telemetry_missing"), Vec::<&str>::new());
}

// No telemetry at all.

#[track_caller]
fn is_silent(bench: &Bench, reason: &str) {
    let refused = bench.run(&["--require-telemetry"]);
    assert_eq!(refused.code, 5, "{}", refused.said);
    assert!(refused.said.contains(reason), "{}", refused.said);
    assert!(
        refused.said.contains("telemetry is required"),
        "{}",
        refused.said
    );
    assert!(!bench.out().exists());

    let ran = bench.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let warnings = ran.warnings("telemetry_missing");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains(reason), "{}", warnings[0]);
    for column in ["decode_joules_per_token", "prefill_joules_per_token"] {
        assert_eq!(ran.json["points"][0][column], Value::Null, "{column}");
    }
    bench.verifies();
}

#[test]
fn without_a_library_the_run_goes_on_and_says_why_nothing_is_read() {
    is_silent(&Bench::bare(), "NVML cannot be loaded");
}

#[test]
fn a_driver_that_is_not_loaded_is_a_state() {
    let script = failing(vec![Fault::fails("nvmlInit_v2", 9)]);
    is_silent(&Bench::new(&script), "the NVIDIA driver is not loaded");
}

#[test]
fn a_driver_that_does_not_match_its_library_is_a_state() {
    let script = failing(vec![Fault::fails("nvmlInit_v2", 18)]);
    is_silent(&Bench::new(&script), "different versions");
}

#[test]
fn a_user_without_permission_is_told() {
    let script = failing(vec![Fault::fails("nvmlInit_v2", 4)]);
    is_silent(&Bench::new(&script), "no permission");
}

#[test]
fn another_card_than_the_engines_is_not_taken_for_it() {
    let card = Card {
        pci_bus_id: "00000000:99:00.0".to_owned(),
        ..Card::working()
    };
    is_silent(&Bench::new(&driver(card)), "the driver lists no card");
}

// Which card.

/// A second card with another power.
fn two_cards() -> Script {
    let other = Card {
        name: b"NVIDIA L4".to_vec(),
        uuid: "GPU-22222222-2222-3333-4444-555555555555".to_owned(),
        pci_bus_id: "00000000:41:00.0".to_owned(),
        sensors: Sensors {
            power_mw: Series::Constant(123_000),
            ..Card::working().sensors
        },
        ..Card::working()
    };
    Script {
        cards: vec![Card::working(), other],
        ..Script::default()
    }
}

#[test]
fn of_several_cards_the_engines_own_is_read() {
    // CUDA writes the address with fewer digits than NVML.
    let engine = "[device]\npci_bus_id = \"0000:41:00.0\"\n[model]\n";
    let bench = Bench::new(&two_cards()).with_engine("[model]\n", engine);
    let ran = bench.run(&["--require-telemetry"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    for block in bench.blocks() {
        let power = &block["sensors"]["columns"]["power_mw"];
        assert_eq!(power[0], 123_000, "{power}");
    }
}

/// An engine that says which card, or which instance of one, it runs on.
fn on(script: &Script, uuid: &str) -> Bench {
    let engine = format!("[device]\nuuid = \"{uuid}\"\n[model]\n");
    Bench::new(script).with_engine("[model]\n", &engine)
}

#[test]
fn a_uuid_tells_the_card_before_its_bus_does() {
    // The bus id of the engine is that of the first card.
    let bench = on(&two_cards(), "GPU-22222222-2222-3333-4444-555555555555");
    let ran = bench.run(&["--require-telemetry"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let records = bench.records();
    let device = records.iter().find(|r| r["type"] == "device").unwrap();
    assert_eq!(device["card"]["name"], "NVIDIA L4");
    for block in bench.blocks() {
        let power = &block["sensors"]["columns"]["power_mw"];
        assert_eq!(power[0], 123_000, "{power}");
    }
}

#[test]
fn of_several_slices_the_engines_own_is_read() {
    let slice = |uuid: &str, used| Slice {
        uuid: uuid.to_owned(),
        memory_bytes: 20_000_000_000,
        memory_used_bytes: Series::Constant(used),
    };
    let script = with(|card| {
        card.mig = Some(Series::Constant(1));
        card.slices = vec![slice("MIG-a", 700_000_000), slice("MIG-b", 800_000_000)];
    });
    // CUDA calls a slice by its UUID as if it were a card.
    for uuid in ["MIG-b", "GPU-b"] {
        let bench = on(&script, uuid);
        let ran = bench.run(&[]);
        assert_eq!(ran.code, 0, "{}", ran.said);
        let records = bench.records();
        let device = records.iter().find(|r| r["type"] == "device").unwrap();
        assert_eq!(device["card"]["mig_uuid"], "MIG-b");
        for block in bench.blocks() {
            let used = &block["sensors"]["columns"]["memory_used_bytes"];
            assert_eq!(used[0], 800_000_000, "{used}");
        }
    }
}

#[test]
fn a_slice_shows_its_memory_and_nothing_that_slices_share() {
    let script = with(|card| {
        card.mig = Some(Series::Constant(1));
        card.slices = vec![Slice {
            uuid: "MIG-a".to_owned(),
            memory_bytes: 20_000_000_000,
            memory_used_bytes: Series::Constant(700_000_000),
        }];
    });
    let bench = Bench::new(&script);
    let ran = bench.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let records = bench.records();
    let device = records.iter().find(|r| r["type"] == "device").unwrap();
    assert_eq!(device["card"]["mig_uuid"], "MIG-a");
    for block in bench.blocks() {
        let sensors = &block["sensors"];
        assert_eq!(sensors["columns"]["memory_used_bytes"][0], 700_000_000);
        for shared in ["power_mw", "energy_mj", "gpu_utilization_percent"] {
            assert_eq!(
                sensors["absent"][shared],
                "the card gives it for all MIG slices together"
            );
        }
    }
    assert_eq!(ran.json["points"][0]["decode_power_watts"], Value::Null);
    bench.verifies();
}

// One sensor.

#[test]
fn a_sensor_that_is_missing_costs_itself_alone_and_says_why() {
    let script = failing(vec![Fault::fails("nvmlDeviceGetPowerUsage", 3)]);
    let bench = Bench::lacking(&script, &["nvmlDeviceGetTemperature"]);
    let ran = bench.run(&["--require-telemetry"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    for block in bench.blocks() {
        let sensors = &block["sensors"];
        assert_eq!(sensors["absent"]["power_mw"], "not supported by this card");
        assert_eq!(
            sensors["absent"]["temperature_c"],
            "the driver is too old: its library lacks this function"
        );
        assert!(sensors["columns"]["power_mw"].is_null());
        assert!(sensors["columns"]["sm_clock_mhz"].is_array());
    }
    bench.verifies();
}

// A card that is lost.

#[track_caller]
fn ends_the_card(script: &Script, reason: &str) {
    // Longer blocks, so that the end comes within one.
    let bench = Bench::new(script).with_study("min_block_seconds = 0.2", "min_block_seconds = 4");
    ends_the_card_at(&bench, reason);
}

#[track_caller]
fn ends_the_card_at(bench: &Bench, reason: &str) {
    let ran = bench.run(&[]);
    assert_eq!(ran.code, 8, "{}", ran.said);
    let records = bench.records();
    let failures: Vec<&Value> = records.iter().filter(|r| r["type"] == "failure").collect();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0]["kind"], "crashed");
    assert!(
        failures[0]["reason"].as_str().unwrap().contains(reason),
        "{failures:?}"
    );
    let loads = records.iter().filter(|record| record["type"] == "load");
    assert_eq!(loads.count(), 1, "nothing was loaded again");
    let skips: Vec<&Value> = records.iter().filter(|r| r["type"] == "skip").collect();
    assert_eq!(skips.len(), 1);
    let why = skips[0]["reason"].as_str().unwrap();
    assert!(why.contains("nothing more is tried on this card"), "{why}");
    assert_eq!(records.last().unwrap()["type"], "end");
    let statuses: Vec<&str> = ran.json["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["status"].as_str().unwrap())
        .collect();
    let mut sorted = statuses.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["crashed", "skipped"]);
    bench.verifies();
}

#[test]
fn what_was_never_tried_on_a_lost_card_is_skipped_and_the_run_is_no_success() {
    let lost = Fault::fails_after("nvmlDeviceGetTotalEnergyConsumption", 70, 15);
    let bench = Bench::new(&failing(vec![lost]));
    let study = STUDY.replace("[\"bf16\"]", "[\"bf16\", \"q8_0\"]");
    let study = study.replace("min_block_seconds = 0.2", "min_block_seconds = 4");
    std::fs::write(bench.folder.path().join("study.toml"), study).unwrap();
    let ran = bench.run(&[]);
    assert_eq!(ran.code, 8, "{}", ran.said);
    let points = ran.json["points"].as_array().unwrap();
    let of = |status: &str| points.iter().filter(|it| it["status"] == status).count();
    assert_eq!((of("crashed"), of("skipped")), (1, 3), "{points:?}");
    bench.verifies();
}

#[test]
fn what_a_lost_card_left_out_is_tried_again_once_it_is_reset() {
    let bench = Bench::new(&falling(IN_THE_FIRST_BLOCK_MS))
        .with_study("min_block_seconds = 0.2", "min_block_seconds = 4");
    assert_eq!(bench.run(&[]).code, 8);
    let records = bench.records();
    let skip = records.iter().find(|it| it["type"] == "skip").unwrap();
    let why = skip["reason"].as_str().unwrap();
    assert!(
        why.ends_with("; --resume tries again once it is reset"),
        "{why}"
    );

    // It is still lost.
    let goes_on = |script: &Script| {
        install(bench.folder.path(), script, &[]).unwrap();
        bench.run(&["--resume"])
    };
    let refused = goes_on(&failing(vec![Fault::fails("*", 15)]));
    assert_eq!(refused.code, 5, "{}", refused.said);
    assert!(refused.said.contains("reset the card"), "{}", refused.said);
    assert_eq!(bench.records(), records);

    // The loss stays the outcome of what ran then.
    let ran = goes_on(&driver(Card::working()));
    assert_eq!(ran.code, 8, "{}", ran.said);
    let points = ran.json["points"].as_array().unwrap().iter();
    let mut statuses: Vec<&str> = points.map(|it| it["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["crashed", "ok"]);
    bench.verifies();
}

/// Within the first block, which begins after 2 s at rest.
const IN_THE_FIRST_BLOCK_MS: u64 = 3_500;

#[test]
fn an_xid_that_ends_the_card_ends_the_point_and_nothing_is_tried_again() {
    let cases = [
        (48, "XID 48: double-bit memory error"),
        (74, "XID 74: NVLink error"),
        (79, "XID 79: the card has fallen off the bus"),
        (94, "XID 94: contained memory error"),
        (95, "XID 95: uncontained memory error"),
        (119, "XID 119: the GSP firmware timed out"),
        (120, "XID 120: the GSP firmware failed"),
    ];
    std::thread::scope(|scope| {
        for (xid, reason) in cases {
            let at_ms = IN_THE_FIRST_BLOCK_MS;
            let script = with(|card| card.events = vec![Event { at_ms, xid }]);
            scope.spawn(move || ends_the_card(&script, reason));
        }
    });
}

#[test]
fn a_card_that_is_lost_between_short_blocks_ends_the_point_too() {
    // Blocks of a fifth of a second: the card is asked about after each.
    let bench = Bench::new(&falling(2_900)).with_study("max_blocks = 3", "max_blocks = 40");
    let study = bench.folder.path().join("study.toml");
    let text = std::fs::read_to_string(&study).unwrap();
    std::fs::write(&study, text.replace("min_blocks = 3", "min_blocks = 40")).unwrap();
    let ran = bench.run(&[]);
    assert_eq!(ran.code, 8, "{}", ran.said);
    assert!(bench.report().contains("XID 79"));
    let failures = bench.records();
    let failures = failures.iter().filter(|record| record["type"] == "failure");
    assert_eq!(failures.count(), 1);
    bench.verifies();
}

/// The card is lost with its worker: the driver tells of it at the first reading after the death.
#[track_caller]
fn dies_with_its_worker(fault: &str) {
    let script = with(|card| card.xid_of_child = Some(79));
    // A generation takes 20 ms: within the first block.
    let fault = format!("{ENGINE}[[fault]]\nkind = \"{fault}\"\nafter = 75\n");
    let bench = Bench::new(&script).with_engine(ENGINE, &fault);
    let bench = bench.with_study("min_block_seconds = 0.2", "min_block_seconds = 4");
    ends_the_card_at(&bench, "XID 79: the card has fallen off the bus (worker ");
}

#[test]
fn a_worker_that_dies_with_its_card_is_not_followed_by_another() {
    std::thread::scope(|scope| {
        for fault in ["abort", "segfault", "panic"] {
            scope.spawn(move || dies_with_its_worker(fault));
        }
    });
}

#[test]
fn a_lost_card_ends_the_point_and_nothing_is_tried_again() {
    // One question per reading, 20 readings per second.
    let lost = Fault::fails_after("nvmlDeviceGetTotalEnergyConsumption", 70, 15);
    ends_the_card(&failing(vec![lost]), "the card is lost");
}

#[test]
fn a_card_that_is_lost_from_the_start_begins_nothing() {
    for question in ["nvmlDeviceGetHandleByIndex_v2", "*"] {
        let bench = Bench::new(&failing(vec![Fault::fails(question, 15)]));
        let ran = bench.run(&[]);
        assert_eq!(ran.code, 5, "{question}: {}", ran.said);
        assert!(ran.said.contains("the card is lost"), "{}", ran.said);
        assert!(!bench.out().exists());
    }
}

#[track_caller]
fn begins_nothing(bench: &Bench) {
    let ran = bench.run(&[]);
    assert_eq!(ran.code, 5, "{}", ran.said);
    assert!(ran.said.contains("XID 79"), "{}", ran.said);
    assert!(ran.said.contains("reset the card"), "{}", ran.said);
    assert!(!bench.out().exists());
}

/// A card that falls off its bus at this time after the first reading.
fn falling(at_ms: u64) -> Script {
    with(|card| card.events = vec![Event { at_ms, xid: 79 }])
}

#[test]
fn a_card_that_is_lost_at_rest_begins_nothing() {
    begins_nothing(&Bench::new(&falling(1_000)));
}

#[test]
fn a_card_that_is_lost_while_its_limits_are_measured_begins_nothing() {
    let slow = "load_ms = 4000.0";
    begins_nothing(&Bench::new(&falling(2_500)).with_engine("load_ms = 1.0", slow));
}

// A card that is not at its best.

/// Runs under `--strict` and finds the warning.
#[track_caller]
fn doubts(script: &Script, code: &str, message: &str) {
    refuses(&Bench::new(script), code, message);
}

/// What may be said of a simulated run on a machine that does other work.
const BESIDE: [&str; 4] = [
    "simulated",
    "telemetry_degraded",
    "no_interval",
    "invalid_generations",
];

/// Refuses the result under `--strict`, for this reason alone.
#[track_caller]
fn refuses(bench: &Bench, code: &str, message: &str) {
    let ran = bench.run(&["--strict"]);
    assert_eq!(ran.code, 6, "{} {}", ran.json, ran.said);
    let warnings = ran.warnings(code);
    assert!(
        warnings.iter().any(|warning| warning.contains(message)),
        "{warnings:?}"
    );
    for warning in ran.json["warnings"].as_array().unwrap() {
        let other = warning["code"].as_str().unwrap();
        assert!(other == code || BESIDE.contains(&other), "{warning}");
        assert!(warning["remedy"].as_str().is_some_and(|it| !it.is_empty()));
    }
    bench.verifies();
}

fn with(change: impl FnOnce(&mut Card)) -> Script {
    let mut card = Card::working();
    change(&mut card);
    driver(card)
}

#[test]
fn throttling_is_doubted_by_its_share_of_the_time() {
    let cases = [
        (0x04, "power cap 100 %"),
        (0x80, "power brake 100 %"),
        (0x20, "software thermal slowdown 100 %"),
        (0x40, "hardware thermal slowdown 100 %"),
        (0x08, "hardware slowdown 100 %"),
    ];
    std::thread::scope(|scope| {
        for (reasons, message) in cases {
            let script = with(|card| card.sensors.throttle_reasons = Series::Constant(reasons));
            scope.spawn(move || doubts(&script, "throttled", message));
        }
    });
}

#[test]
fn clocks_below_their_maximum_are_doubted() {
    let script = with(|card| card.sensors.sm_clock_mhz = Series::Constant(1_000));
    doubts(&script, "clocks", "clocks at 50.5 % of their maximum");
}

#[test]
fn an_applications_clock_below_the_maximum_is_doubted() {
    let script = with(|card| {
        card.sensors.sm_clock_mhz = Series::Constant(1_755);
        let clocks = [1_755, 2_619].map(Series::Constant);
        card.application_clocks_mhz = Some(clocks);
    });
    doubts(
        &script,
        "clocks",
        "the applications clock is set to 1755 MHz",
    );
}

#[test]
fn another_process_before_the_first_worker_is_foreign_use() {
    let script = with(|card| {
        card.processes.push(Process {
            owner: Owner::Pid(1),
            memory_bytes: None,
            from_ms: 0,
            to_ms: None,
        });
    });
    doubts(&script, "foreign_use", "1 processes used the card before");
}

#[test]
fn memory_that_somebody_takes_meanwhile_is_foreign_use() {
    let later = Series::steps(&[(0, 600_000_000), (2_500, 9_000_000_000)]);
    let script = with(|card| card.sensors.memory_used_bytes = later);
    doubts(&script, "foreign_use", "9.0 GB after the last one");
}

#[test]
fn a_card_that_works_before_the_worker_does_is_foreign_use() {
    let script = with(|card| card.sensors.gpu_percent = Series::Constant(60));
    doubts(&script, "foreign_use", "busy 60.0 % of the time before");
}

#[test]
fn a_driver_that_hides_processes_cannot_tell() {
    let script = with(|card| card.processes.clear());
    doubts(&script, "foreign_use_unknown", "cannot tell");
}

#[test]
fn a_process_beside_the_worker_is_foreign_use() {
    // From within the first block to before the end, so that only the blocks tell.
    let script = with(|card| {
        card.processes.push(Process {
            owner: Owner::Pid(1),
            memory_bytes: None,
            from_ms: 3_500,
            to_ms: Some(8_000),
        });
    });
    let bench = Bench::new(&script).with_study("min_block_seconds = 0.2", "min_block_seconds = 2");
    refuses(&bench, "foreign_use", "1 other processes used the card");
}

#[test]
fn a_setting_that_changes_is_doubted() {
    let off = Series::steps(&[(0, 1), (2_500, 0)]);
    let ecc = with(|card| card.ecc = Some(off));
    let on = Series::steps(&[(0, 0), (2_500, 1)]);
    let mig = with(|card| card.mig = Some(on));
    std::thread::scope(|scope| {
        scope.spawn(|| doubts(&ecc, "card_changed", "ECC changed during the run"));
        scope.spawn(|| doubts(&mig, "card_changed", "MIG changed during the run"));
    });
}

#[test]
fn a_power_limit_or_an_applications_clock_that_changes_is_doubted() {
    let later = |before: u64, after: u64| Series::steps(&[(0, before), (2_500, after)]);
    let limit = with(|card| card.power_limit_mw = later(700_000, 500_000));
    let clock = with(|card| {
        card.application_clocks_mhz = Some([later(1_980, 1_410), Series::Constant(2_619)]);
    });
    std::thread::scope(|scope| {
        scope.spawn(|| doubts(&limit, "card_changed", "the power limit changed during"));
        let message = "the applications clock of the SMs changed during the run";
        scope.spawn(|| doubts(&clock, "card_changed", message));
    });
}

#[test]
fn an_xid_that_ends_a_program_is_doubted() {
    let events = vec![Event {
        at_ms: 3_000,
        xid: 31,
    }];
    let script = with(|card| card.events = events);
    doubts(&script, "xid", "the driver reported XID 31");
}

#[test]
fn a_memory_row_that_is_going_to_be_replaced_is_doubted_and_ends_nothing() {
    let events = vec![Event {
        at_ms: 3_000,
        xid: 63,
    }];
    let script = with(|card| card.events = events);
    let message = "the driver reported XID 63: a memory row or page is going to be replaced";
    doubts(&script, "xid", message);
}

#[test]
fn an_xid_before_the_first_block_is_doubted_in_it() {
    // While the card is read at rest, and late enough for a busy machine to be listening.
    let events = vec![Event {
        at_ms: 1_200,
        xid: 31,
    }];
    let script = with(|card| card.events = events);
    doubts(&script, "xid", "the driver reported XID 31");
}

#[test]
fn an_xid_after_the_last_block_is_doubted_of_the_run() {
    // One every quarter of a second, whenever the last block ends.
    let events = (0..240).map(|n| Event {
        at_ms: n * 250,
        xid: 43,
    });
    let script = with(|card| card.events = events.collect());
    let bench = Bench::new(&script);
    let ran = bench.run(&["--strict"]);
    assert_eq!(ran.code, 6, "{}", ran.said);
    let warnings = ran.json["warnings"].as_array().unwrap();
    let of_run = warnings.iter().filter(|warning| warning["point"].is_null());
    let of_run: Vec<&Value> = of_run.filter(|warning| warning["code"] == "xid").collect();
    assert_eq!(of_run.len(), 1, "{warnings:?}");
    assert_eq!(
        of_run[0]["message"],
        "the driver reported XID 43: a program stopped on the card"
    );
    let end = bench.records().pop().unwrap();
    let after = end["after"]["columns"]["xid"].as_array().unwrap();
    assert!(after.iter().any(|number| number == 43), "{after:?}");
}

#[test]
fn memory_near_the_limit_is_doubted() {
    let full = Series::steps(&[(0, 600_000_000), (2_100, 84_000_000_000), (60_000, 1)]);
    let script = with(|card| card.sensors.memory_used_bytes = full);
    let ran = Bench::new(&script).run(&["--strict"]);
    assert_eq!(ran.code, 6, "{}", ran.said);
    assert!(ran.warnings("memory_near_limit")[0].contains("98.2 %"));
}

#[test]
fn a_card_that_waits_for_the_host_is_doubted() {
    let script = with(|card| card.sensors.gpu_percent = Series::Constant(4));
    // The same step on a card that reads six times as fast.
    let bench = Bench::new(&script).with_engine("0.5e12", "3.0e12");
    // At 13 % of its bandwidth, or less where this machine's clock strikes late.
    refuses(&bench, "host_bound", "busy 4.0 % of the time at ");
}

#[test]
fn a_step_that_reads_more_than_the_card_can_is_impossible() {
    let bench = Bench::new(&driver(Card::working())).with_engine("0.5e12", "0.2e12");
    refuses(&bench, "impossible", "times the memory bandwidth");
}

#[test]
fn a_step_that_reads_more_than_the_data_sheet_says_is_impossible() {
    // 2 GB per step on a card of 3.35 TB/s that was measured to read 7.5: only the sheet contradicts.
    let h100 = |step_us: &str| {
        let device = "[device]\nname = \"NVIDIA H100 80GB HBM3\"\n";
        let peaks = "[peaks]\nread_bytes_per_second = 7.5e12\n";
        let engine = format!("step_us = {step_us}\n{peaks}{device}");
        let plain = "step_us = 5000.0\n[peaks]\nread_bytes_per_second = 0.5e12\n";
        Bench::new(&driver(Card::working())).with_engine(plain, &engine)
    };
    let possible = h100("5000.0").run(&["--strict"]);
    assert_eq!(possible.warnings("impossible"), Vec::<&str>::new());
    // 8 TB/s, or less where this machine's clock strikes late.
    let bench = h100("250.0");
    refuses(&bench, "impossible", "times the memory bandwidth");
    let report = bench.report();
    let told = report.lines().find(|line| line.starts_with("| impossible"));
    let told = told.unwrap_or_else(|| panic!("{report}"));
    assert!(told.contains("do not use the number"), "{told}");
}

#[test]
fn fewer_blocks_than_asked_for_are_doubted() {
    let bench =
        Bench::new(&driver(Card::working())).with_study("max_seconds = 20", "max_seconds = 0.5");
    refuses(&bench, "too_few_samples", "2 blocks instead of 3");
}

#[test]
fn an_interval_wider_than_asked_for_is_doubted() {
    let bench = Bench::new(&driver(Card::working()))
        .with_engine("step_us = 5000.0", "step_us = 5000.0\nnoise = 0.3");
    let study = STUDY.replace("target_ci = 0.9", "target_ci = 0.001");
    std::fs::write(bench.folder.path().join("study.toml"), study).unwrap();
    let ran = bench.run(&["--strict"]);
    assert_eq!(ran.code, 6, "{}", ran.said);
    assert!(ran.warnings("wide_interval")[0].contains("instead of ± 0.1 %"));
}

#[test]
fn a_sampler_that_was_held_up_is_degraded_telemetry() {
    // The 60th reading, 3 s after the first, takes 0.6 s.
    let script = failing(vec![Fault::hangs("nvmlDeviceGetUtilizationRates", 60, 600)]);
    let bench = Bench::new(&script).with_study("min_block_seconds = 0.2", "min_block_seconds = 1");
    refuses(&bench, "telemetry_degraded", "no reading for 1");
}

#[test]
fn a_driver_that_falls_silent_does_not_hold_the_run_up() {
    // An hour, from 3 s after the first reading on.
    let silent = Fault::hangs("nvmlDeviceGetPowerUsage", 60, 3_600_000);
    let bench = Bench::new(&failing(vec![silent]))
        .with_study("min_block_seconds = 0.2", "min_block_seconds = 1");
    refuses(&bench, "telemetry_degraded", "the driver has been silent");
    let blocks = bench.blocks();
    assert_eq!(blocks.len(), 7, "three of each point, and the drift");
    let reason = "since it was asked for power_mw";
    let silent = |block: &&Value| {
        let absent = &block["sensors"]["absent"]["sm_clock_mhz"];
        absent.as_str().is_some_and(|it| it.contains(reason))
    };
    assert!(blocks.iter().filter(silent).count() >= 5, "{blocks:?}");
    // From the end of the first silent block on nothing waits: a second each, and the work between.
    let times = blocks.iter().filter(silent).skip(1);
    let times: Vec<u64> = times
        .map(|block| block["started"]["monotonic_ns"].as_u64().unwrap())
        .collect();
    let slowest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(slowest < Some(3_000_000_000), "{times:?}");
}

#[test]
fn required_telemetry_of_a_card_without_any_sensor_is_refused_at_the_start() {
    // A card without GPM and events has these questions; what it is, it tells.
    let questions = [
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetFieldValues",
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetPcieThroughput",
        "nvmlDeviceGetEccMode",
        "nvmlDeviceGetTotalEccErrors",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetApplicationsClock",
    ];
    let script = Script {
        faults: questions.map(|name| Fault::fails(name, 3)).into(),
        ..with(|card| {
            card.gpm = false;
            card.event_support = false;
        })
    };
    let bench = Bench::new(&script);
    let ran = bench.run(&["--require-telemetry"]);
    assert_eq!(ran.code, 5, "{}", ran.said);
    let reason = "telemetry is required: the card does not show power or energy (not supported by this card), \
                  GPU utilization (not supported by this card), memory in use (not supported by this card), SM clock";
    assert!(ran.said.contains(reason), "{}", ran.said);
    assert!(!bench.out().exists());
}

#[test]
fn required_telemetry_needs_the_sensors_that_say_what_the_card_did() {
    let script = failing(vec![Fault::fails("nvmlDeviceGetUtilizationRates", 3)]);
    let bench = Bench::new(&script);
    let refused = bench.run(&["--require-telemetry"]);
    assert_eq!(refused.code, 5, "{}", refused.said);
    let reason = "the card does not show GPU utilization (not supported by this card)";
    assert!(refused.said.contains(reason), "{}", refused.said);
    assert!(!bench.out().exists());
    assert_eq!(bench.run(&[]).code, 0);
}

#[test]
fn required_telemetry_that_ends_in_mid_run_is_an_error_after_the_reports() {
    let silent = Fault::hangs("nvmlDeviceGetPowerUsage", 60, 3_600_000);
    let bench = Bench::new(&failing(vec![silent]));
    let ran = bench.run(&["--require-telemetry"]);
    assert_eq!(ran.code, 5, "{}", ran.said);
    let reason = "telemetry is required: the driver fell silent when it was asked for power_mw";
    assert!(ran.said.contains(reason), "{}", ran.said);
    assert_eq!(ran.json["points"].as_array().unwrap().len(), 2);
    assert!(bench.report().contains("bf16"));
    bench.verifies();
}

/// Power and the energy counter answer 100 times, for 5 s, and then no more.
fn losing_power() -> Script {
    let questions = [
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetTotalEnergyConsumption",
        "field:185",
        "field:186",
    ];
    let silent = questions.map(|name| Fault::fails_after(name, 100, 999));
    failing(silent.into())
}

#[test]
fn sensors_that_fall_silent_one_by_one_are_doubted_and_fail_what_requires_them() {
    let long = |script: &Script| {
        Bench::new(script).with_study("min_block_seconds = 0.2", "min_block_seconds = 2")
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bench = long(&losing_power());
            let message =
                "no answer of energy_mj, power_mw, power_average_mw, power_instant_mw for";
            refuses(&bench, "sensors_silent", message);
            assert!(bench.report().contains(message), "{}", bench.report());
        });
        scope.spawn(|| {
            let bench = long(&losing_power());
            let ran = bench.run(&["--require-telemetry"]);
            assert_eq!(ran.code, 5, "{}", ran.said);
            let reason = "telemetry is required: bf16 b";
            assert!(ran.said.contains(reason), "{}", ran.said);
            assert!(ran.said.contains("no answer of energy_mj"), "{}", ran.said);
            assert_eq!(ran.json["points"].as_array().unwrap().len(), 2);
            bench.verifies();
        });
    });
}

#[test]
fn scripted_time_has_no_readings_and_says_so() {
    let bench = Bench::new(&driver(Card::working())).with_engine("clock = \"machine\"\n", "");
    let ran = bench.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert!(ran.warnings("telemetry_missing")[0].contains("scripted"));
}

// Energy.

/// One point of long outputs, then a block of each phase.
const ENERGY_STUDY: &str = "[sweep]\nprecision = [\"bf16\"]\nbatch = [2]\nisl = [16]\nosl = [32]\n\
    [measure]\nmin_blocks = 2\nmax_blocks = 2\nmin_block_seconds = 0.2\nmax_seconds = 20\n\
    warmup_seconds = 0\nlaunches = 1\ntarget_ci = 0.9\nenergy = true\n\
    [price]\nusd_per_kwh = \"0.10\"\npue = \"1.3\"\n";

/// 100 W for the first 7 s, in which the card is at rest for 6, and 400 W from then on.
fn warming() -> Card {
    let start = 5_000_000;
    let warm = start + 100 * 7_000;
    let mut card = Card::working();
    card.sensors.energy_mj = Series::lines(
        &[(0, start), (7_000, warm), (607_000, warm + 400 * 600_000)],
        20,
    );
    let power = Series::steps(&[(0, 100_000), (7_000, 400_000)]);
    card.sensors.power_mw = power.clone();
    card.sensors.power_instant_mw = power;
    card
}

fn energy(script: &Script, missing: &[&str]) -> (Bench, Ran) {
    let bench = Bench::lacking(script, missing);
    std::fs::write(bench.folder.path().join("study.toml"), ENERGY_STUDY).unwrap();
    let ran = bench.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    bench.verifies();
    (bench, ran)
}

#[track_caller]
fn is_near(value: &Value, expected: f64) {
    let value = value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"));
    assert!(
        (value / expected - 1.0).abs() < 0.02,
        "{value} ≠ {expected}"
    );
}

fn energy_is_shown_per_phase_gross_and_net() {
    let (bench, ran) = energy(&driver(warming()), &[]);
    let point = &ran.json["points"][0];
    is_near(&point["idle_watts"], 100.0);
    let mut seen = 0;
    for block in bench.blocks() {
        if block["purpose"] != "energy" {
            continue;
        }
        seen += 1;
        let generations = block["generations"].as_array().unwrap();
        let end = |generation: &Value| -> u64 {
            let steps = generation["steps_ns"].as_array().unwrap();
            generation["t0_ns"].as_u64().unwrap()
                + steps.iter().map(|step| step.as_u64().unwrap()).sum::<u64>()
        };
        let from = generations[0]["t0_ns"].as_u64().unwrap();
        let seconds = (end(&generations[generations.len() - 1]) - from) as f64 / 1e9;
        assert!(seconds >= 10.0);
        let (phase, tokens) = if block["point"]["osl"] == 1 {
            ("prefill", 2 * 16 * generations.len())
        } else {
            ("decode", 2 * 32 * generations.len())
        };
        let column = |name: &str| &point[format!("{phase}_{name}")];
        is_near(column("joules_per_token"), 400.0 * seconds / tokens as f64);
        is_near(
            column("net_joules_per_token"),
            300.0 * seconds / tokens as f64,
        );
        assert_eq!(*column("energy_method"), "counter");
        assert!(column("energy_disagreement").as_f64().unwrap().abs() < 0.02);
    }
    assert_eq!(seen, 2);
    assert_eq!(
        point["usd_per_mtok_output_energy"],
        Value::Null,
        "simulated"
    );
    let report = bench.report();
    let idle = point["idle_watts"].as_f64().unwrap();
    let drew = format!("the card drew {idle:.1} W");
    assert!(report.contains(&drew), "{drew}: {report}");
    let html = std::fs::read_to_string(bench.out().join("report.html")).unwrap();
    let caption = "Power over the time of bf16 b2 16/32, the point that was measured the longest: its 2 \
                   measured blocks one after another, read every 50 ms.";
    assert!(html.contains(caption), "{html}");
}

#[test]
fn a_card_that_a_program_has_just_left_is_waited_for() {
    let script = with(|card| {
        let cooling = Series::steps(&[(0, 250_000), (4_000, 100_000)]);
        card.sensors.power_mw = cooling.clone();
        card.sensors.power_instant_mw = cooling;
    });
    let bench = Bench::lacking(&script, &["nvmlDeviceGetTotalEnergyConsumption"]);
    std::fs::write(bench.folder.path().join("study.toml"), ENERGY_STUDY).unwrap();
    // Enough for the blocks and not for those of energy, which are of no matter here.
    let ran = bench.run(&["--max-minutes", "0.1"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert!(ran.said.contains("not at rest"), "{}", ran.said);
    assert_eq!(ran.warnings("unrest"), Vec::<&str>::new());
    is_near(&ran.json["points"][0]["idle_watts"], 100.0);
    let records = bench.records();
    let device = records.iter().find(|r| r["type"] == "device").unwrap();
    // The power is steady for 5 s when 9 have gone, of which 6 are read in any case.
    let rested = device["rested_ns"].as_u64().unwrap();
    assert!(
        (1_000_000_000..10_000_000_000).contains(&rested),
        "{rested}"
    );
    bench.verifies();
}

#[track_caller]
fn is_integrated(card: Card, missing: &[&str], reason: &str) {
    let (bench, ran) = energy(&driver(card), missing);
    let point = &ran.json["points"][0];
    for phase in ["prefill", "decode"] {
        assert_eq!(point[format!("{phase}_energy_method")], "integrated_power");
        assert!(point[format!("{phase}_joules_per_token")].as_f64().unwrap() > 0.0);
        assert_eq!(point[format!("{phase}_energy_disagreement")], Value::Null);
    }
    let report = bench.report();
    assert!(report.contains(reason), "{report}");
}

fn without_any_power_energy_is_absent_with_its_reason() {
    let missing = "nvmlDeviceGetTotalEnergyConsumption";
    let faults = [
        ("nvmlDeviceGetPowerUsage", 3),
        ("field:185", 3),
        ("field:186", 3),
    ];
    let script = failing(
        faults
            .map(|(symbol, code)| Fault::fails(symbol, code))
            .into(),
    );
    let (bench, ran) = energy(&script, &[missing]);
    for column in [
        "prefill_joules_per_token",
        "decode_net_joules_per_token",
        "idle_watts",
    ] {
        assert_eq!(ran.json["points"][0][column], Value::Null, "{column}");
    }
    let report = bench.report();
    assert!(
        report.contains("— (energy_mj: the driver is too old"),
        "{report}"
    );
    let table = std::fs::read_to_string(bench.out().join("points.csv")).unwrap();
    assert!(!table.contains("NaN"));
}

/// A counter of 32 bits that starts anew within a block of energy.
fn a_counter_that_wraps_is_followed() {
    let (last, wraps_at) = (u64::from(u32::MAX), 15_000);
    let before = (0, last - 400 * wraps_at);
    let after = (600_000, 400 * (600_000 - wraps_at));
    let mut card = Card::working();
    card.sensors.energy_mj =
        Series::lines(&[before, (wraps_at, last), (wraps_at + 1, 0), after], 20);
    let (bench, ran) = energy(&driver(card), &[]);
    let mut blocks = bench.blocks();
    blocks.retain(|block| block["purpose"] == "energy");
    let wraps = |block: &Value| {
        let read = block["sensors"]["columns"]["energy_mj"].as_array().unwrap();
        let read: Vec<u64> = read.iter().filter_map(Value::as_u64).collect();
        !read.is_sorted()
    };
    assert!(blocks.iter().any(wraps), "not within a block of energy");
    let point = &ran.json["points"][0];
    for phase in ["prefill", "decode"] {
        let of = |what: &str| &point[format!("{phase}_{what}")];
        assert_eq!(*of("energy_method"), "counter");
        // Power is the witness.
        let apart = of("energy_disagreement").as_f64().unwrap();
        assert!(apart.abs() < 0.02, "{phase}: {apart}");
    }
}

fn a_resumed_run_makes_up_the_energy_that_it_did_not_come_to() {
    let bench = Bench::new(&driver(warming()));
    let study = ENERGY_STUDY.replace("warmup_seconds = 0", "warmup_seconds = 2");
    std::fs::write(bench.folder.path().join("study.toml"), study).unwrap();
    // A tenth of a minute is enough for the blocks and not for those of energy.
    let ran = bench.run(&["--max-minutes", "0.1"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let reason = "no block shows this phase alone";
    assert!(bench.report().contains(reason), "{}", bench.report());
    assert!(bench.verifies().contains("0 of 2 energies derivable"));
    let measured = bench.blocks().len();

    let ran = bench.run(&["--resume"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert!(bench.verifies().contains("2 of 2 energies derivable"));
    let blocks = bench.blocks();
    assert_eq!(blocks.len(), measured + 2);
    for block in &blocks[measured..] {
        assert_eq!(block["purpose"], "energy");
    }
    let point = &ran.json["points"][0];
    is_near(&point["idle_watts"], 100.0);
    for phase in ["prefill", "decode"] {
        let column = |name: &str| point[format!("{phase}_{name}")].as_f64().unwrap();
        let net = column("net_joules_per_token") / column("joules_per_token");
        assert!((net - 0.75).abs() < 0.02, "{net}");
    }
    assert!(!bench.report().contains(reason));
}

/// Half a minute each, so all at once.
#[test]
fn energy_comes_from_the_counter_or_else_from_power_or_else_not_at_all() {
    let sawtooth: Vec<(u64, u64)> = (0..60_u64)
        .flat_map(|n| [(n * 4_000, 0), (n * 4_000 + 3_999, 1_600_000)])
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(energy_is_shown_per_phase_gross_and_net);
        scope.spawn(a_counter_that_wraps_is_followed);
        scope.spawn(a_resumed_run_makes_up_the_energy_that_it_did_not_come_to);
        scope.spawn(|| {
            let mut card = Card::working();
            card.sensors.energy_mj = Series::lines(&sawtooth, 20);
            is_integrated(card, &[], "the energy counter ran backwards");
        });
        scope.spawn(|| {
            let mut card = Card::working();
            card.sensors.energy_mj = Series::Constant(5_000_000);
            is_integrated(card, &[], "the energy counter stood still");
        });
        scope.spawn(without_any_power_energy_is_absent_with_its_reason);
    });
}

// Doctor.

#[test]
fn the_doctor_names_what_a_report_would_lack() {
    let script = with(|card| {
        card.gpm = false;
        card.persistence = false;
        card.power_limit_mw = Series::Constant(350_000);
    });
    let bench = Bench::new(&script);
    let output = bench.mtok(&["doctor"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "570.124.06",
        "CUDA 12.8",
        "12.570.124.06",
        "350 of 700 W",
        "NVIDIA H100 80GB HBM3",
        "0.6 of 85.5 GB in use",
        "gpm_sm_activity_permille, gpm_sm_occupancy_permille, gpm_tensor_activity_permille, \
         gpm_dram_bandwidth_permille: not supported by this card",
        "GPM",
        "nvidia-persistenced",
        "ECC",
        "MIG",
        "other processes",
        "CPU governor",
        "disk",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

/// What the doctor finds in an environment with these variables.
fn diagnosis(script: &Script, variables: &[(&str, &str)]) -> Vec<Value> {
    let output = Bench::new(script).mtok_where(variables, &["doctor", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["findings"].as_array().unwrap().clone()
}

/// What was found of `what`, once per card.
fn found(findings: &[Value], what: &str) -> Vec<String> {
    let of_this = findings.iter().filter(|finding| finding["what"] == what);
    let found = of_this.map(|finding| finding["found"].as_str().unwrap().to_owned());
    found.collect()
}

const H100: &str =
    "NVIDIA H100 80GB HBM3 (GPU-11111111-2222-3333-4444-555555555555) at 00000000:01:00.0";
const L4: &str = "NVIDIA L4 (GPU-22222222-2222-3333-4444-555555555555) at 00000000:41:00.0";

#[test]
fn the_doctor_examines_every_card_of_several_whatever_their_order() {
    let findings = diagnosis(&two_cards(), &[]);
    assert_eq!(found(&findings, "card"), [H100, L4]);
    assert_eq!(found(&findings, "driver").len(), 1);
    let order = "2 visible of 2; a run finds its own by PCI id, in whatever order CUDA counts";
    assert_eq!(found(&findings, "cards"), [order]);
    assert_eq!(found(&findings, "clocks").len(), 2);
    let of_l4 = findings.iter().filter(|finding| {
        finding["card"] == "GPU-22222222-2222-3333-4444-555555555555" && finding["what"] == "clocks"
    });
    assert_eq!(of_l4.count(), 1);
}

#[test]
fn the_doctor_leaves_a_hidden_card_out() {
    let by_uuid = [("CUDA_VISIBLE_DEVICES", "GPU-22")];
    let findings = diagnosis(&two_cards(), &by_uuid);
    assert_eq!(found(&findings, "card"), [L4]);
    let visible = "1 visible of 2 (CUDA_VISIBLE_DEVICES=\"GPU-22\")";
    assert_eq!(found(&findings, "cards"), [visible]);
    let by_number = [
        ("CUDA_VISIBLE_DEVICES", "1"),
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
    ];
    assert_eq!(found(&diagnosis(&two_cards(), &by_number), "card"), [L4]);
}

#[test]
fn the_doctor_says_when_a_number_may_mean_any_card() {
    let findings = diagnosis(&two_cards(), &[("CUDA_VISIBLE_DEVICES", "1")]);
    assert_eq!(found(&findings, "card"), [H100, L4]);
    let cards = &found(&findings, "cards")[0];
    assert!(cards.contains("only some of these are visible"), "{cards}");
}

#[test]
fn the_doctor_says_when_no_card_is_visible() {
    let findings = diagnosis(&two_cards(), &[("CUDA_VISIBLE_DEVICES", "")]);
    assert_eq!(found(&findings, "card"), Vec::<String>::new());
    assert_eq!(found(&findings, "driver"), ["570.124.06 (CUDA 12.8)"]);
    let cards = findings.iter().find(|it| it["what"] == "cards").unwrap();
    assert_eq!(cards["found"], "0 visible of 2 (CUDA_VISIBLE_DEVICES=\"\")");
    assert_eq!(cards["state"], "doubtful");
    let remedy = cards["remedy"].as_str().unwrap();
    assert!(remedy.contains("unset CUDA_VISIBLE_DEVICES"), "{remedy}");
}

#[test]
fn the_doctor_names_the_instance_under_mig() {
    let instance = |uuid: &str| Slice {
        uuid: uuid.to_owned(),
        memory_bytes: 20_000_000_000,
        memory_used_bytes: Series::Constant(0),
    };
    let script = with(|card| {
        card.mig = Some(Series::Constant(1));
        card.slices = vec![instance("MIG-a"), instance("MIG-b")];
    });
    let findings = diagnosis(&script, &[("CUDA_VISIBLE_DEVICES", "MIG-b")]);
    let of_instance = format!("{H100}, MIG instance MIG-b");
    assert_eq!(found(&findings, "card"), [of_instance]);
    let memory = findings.iter().find(|it| it["what"] == "card memory");
    assert_eq!(memory.unwrap()["card"], "MIG-b");
    let of_all = format!("{H100}, MIG instances MIG-a, MIG-b");
    assert_eq!(found(&diagnosis(&script, &[]), "card"), [of_all]);
}

#[test]
fn the_doctor_tells_of_a_card_that_is_lost_beside_one_that_is_not() {
    let mut script = two_cards();
    script.faults = vec![Fault {
        // The second question for a handle is that for the second card.
        after_calls: 1,
        calls: Some(1),
        ..Fault::fails("nvmlDeviceGetHandleByIndex_v2", 15)
    }];
    let findings = diagnosis(&script, &[]);
    assert_eq!(found(&findings, "card"), ["— (the card is lost)", H100]);
}

#[test]
fn the_doctor_says_of_a_card_that_is_lost_nothing_but_that() {
    let all = Fault::fails("*", 15);
    // Facts are read before sensors, which only then find out.
    let sensors = Fault::fails("nvmlDeviceGetPowerUsage", 15);
    for (fault, state) in [
        (all, "— (the card is lost)".to_owned()),
        (
            sensors,
            format!(
                "{} (the card is lost)",
                H100.replace(['(', ')'], "").replace(" at", "")
            ),
        ),
    ] {
        let findings = diagnosis(&failing(vec![fault]), &[]);
        assert_eq!(found(&findings, "card"), [state]);
        let card = findings.iter().find(|it| it["what"] == "card").unwrap();
        let remedy = card["remedy"].as_str().unwrap();
        assert!(remedy.contains("reset the card"), "{remedy}");
        for judged in ["persistence", "GPM", "clocks", "sensors"] {
            assert_eq!(found(&findings, judged), Vec::<String>::new(), "{judged}");
        }
    }
}

/// Half a minute would be too long to wait for nothing; three seconds are not.
#[test]
fn a_driver_that_is_slow_to_start_is_said_to_be_waited_for() {
    let script = failing(vec![Fault::hangs("nvmlInit_v2", 0, 3_500)]);
    let said = "waiting for the NVIDIA driver to answer, for at most 60 s\n";
    let output = Bench::new(&script).mtok(&["doctor"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), said);
    let ran = Bench::new(&script).run(&["--require-telemetry"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert_eq!(ran.said.matches(said).count(), 1, "{}", ran.said);
}

// Plan.

#[test]
fn a_plan_for_one_of_several_cards_needs_no_order_where_they_are_alike() {
    let second = |mut card: Card, memory: u64| {
        card.uuid = "GPU-22222222-2222-3333-4444-555555555555".to_owned();
        card.pci_bus_id = "00000000:41:00.0".to_owned();
        card.memory_bytes = memory;
        Script {
            cards: vec![Card::working(), card],
            ..Script::default()
        }
    };
    let memory = Card::working().memory_bytes;
    let h100 = "NVIDIA H100 80GB HBM3";
    let plan = |script: &Script, variables: &[(&str, &str)]| {
        Bench::new(script).mtok_where(variables, &["plan", "--device", "cuda:1"])
    };
    let alike = plan(&second(Card::working(), memory), &[]);
    assert!(alike.status.success(), "{alike:?}");
    let text = String::from_utf8(alike.stdout).unwrap();
    assert!(text.contains("of 79.65 GiB of memory"), "{text}");

    let smaller = second(Card::working(), memory / 2);
    for (script, name) in [(&smaller, h100), (&two_cards(), "NVIDIA L4")] {
        let refused = plan(script, &[]);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        let said = String::from_utf8(refused.stderr).unwrap();
        let cards = format!("which one CUDA calls 1 is not known: {h100}, {name}");
        assert!(said.contains(&cards), "{said}");
        assert!(said.contains("CUDA_DEVICE_ORDER=PCI_BUS_ID"), "{said}");
        assert!(said.contains("card's UUID"), "{said}");
        let by_bus = plan(script, &[("CUDA_DEVICE_ORDER", "PCI_BUS_ID")]);
        assert!(by_bus.status.success(), "{by_bus:?}");
    }
}

#[test]
fn a_plan_for_a_card_asks_the_driver_for_it() {
    let plan = |bench: &Bench| {
        bench.mtok(&[
            "plan",
            "--device",
            "cuda:0",
            "--model",
            "card:qwen3-32b",
            "--precision",
            "bf16,q4_k",
            "--batch",
            "1,64",
        ])
    };
    let output = plan(&Bench::new(&driver(Card::working())));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "of 79.65 GiB may be used",
        "from the roofline",
        "h100-sxm at",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let refused = plan(&Bench::bare());
    assert_eq!(refused.status.code(), Some(5));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("failed to plan for cuda:0: "), "{said}");
    assert!(said.contains("--gpu h100-sxm"), "{said}");
}
