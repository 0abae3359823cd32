//! The NVML probe and the sampler against the scripted driver: real wrapper code, real loading.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like a test"
)]

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fake_nvml::SCRIPT_VARIABLE;
use fake_nvml::install::install;
use fake_nvml::script::{Card, Event, Fault, Owner, Process, Script, Sensors, Series, Slice};
use mtok::clock::{Clock, Monotonic};
use mtok::record::sensor::Sensor;
use mtok::telemetry::Probe;
use mtok::telemetry::card::{CardIdentity, Choice, DeviceOrder, Visibility};
use mtok::telemetry::findings::{Finding, examine};
use mtok::telemetry::nvml::{Access, NvmlProbe, open};
use mtok::telemetry::sampler::{CardState, LossCause, SamplePeriod, Sampler};
use mtok::telemetry::sensor::{Absence, Reading};
use mtok::telemetry::unavailable::Unavailable;
use mtok::units::Nanos;

const PATIENCE: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;

/// A driver loaded from a folder of its own.
struct Driver {
    _folder: tempfile::TempDir,
    access: Access,
}

impl Driver {
    fn new(script: &Script) -> Self {
        Self::lacking(script, &[])
    }

    fn lacking(script: &Script, missing: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = install(folder.path(), script, missing).unwrap();
        Self {
            _folder: folder,
            access: Access {
                library: Some(library),
                limit: PATIENCE,
            },
        }
    }

    fn open(&self) -> Result<NvmlProbe, Unavailable> {
        self.open_by(&first())
    }

    fn open_by(&self, choice: &Choice) -> Result<NvmlProbe, Unavailable> {
        open(&self.access, choice, &|_| ())
    }

    /// The diagnosis where nothing hides a card.
    fn examine(&self) -> Vec<Finding> {
        examine(&self.access, &Visibility::default(), &|_| ())
    }

    fn sampler(&self) -> Sampler {
        let probe = Box::new(self.open().unwrap());
        let period = SamplePeriod::from_milliseconds(20).unwrap();
        Sampler::start(probe, period, Arc::new(Monotonic)).unwrap()
    }
}

fn first() -> Choice {
    Choice::Ordinal {
        ordinal: 0,
        visibility: Visibility::default(),
    }
}

fn identity(uuid: Option<&str>, bus: Option<&str>) -> Choice {
    Choice::Identity(CardIdentity {
        uuid: uuid.map(str::to_owned),
        pci_bus_id: bus.map(str::to_owned),
    })
}

/// One card; time passes by 50 ms per reading.
fn script(card: Card) -> Script {
    Script {
        tick_ms: Some(50),
        cards: vec![card],
        ..Script::default()
    }
}

fn failing(faults: Vec<Fault>) -> Script {
    Script {
        faults,
        ..script(Card::default())
    }
}

fn busy() -> Card {
    Card {
        sensors: Sensors {
            energy_mj: Series::counter(5_000_000, 400_000),
            power_mw: Series::steps(&[(0, 390_000), (50, 410_000)]),
            power_average_mw: Series::Constant(395_000),
            power_instant_mw: Series::Constant(420_000),
            gpu_percent: Series::Constant(97),
            memory_percent: Series::Constant(64),
            memory_used_bytes: Series::Constant(20_000 * MIB),
            sm_clock_mhz: Series::Constant(1_755),
            temperature_c: Series::Constant(61),
            throttle_reasons: Series::Constant(0x4),
            gpm_sm_activity_permille: Series::Constant(876),
            gpm_sm_occupancy_permille: Series::Constant(250),
            gpm_tensor_activity_permille: Series::Constant(123),
            gpm_dram_bandwidth_permille: Series::Constant(704),
            ..Sensors::default()
        },
        processes: vec![Process {
            owner: Owner::Pid(4_242),
            memory_bytes: Some(19_000 * MIB),
            from_ms: 0,
            to_ms: None,
        }],
        ..Card::default()
    }
}

#[track_caller]
fn shows(reading: &Reading, expected: &[(Sensor, u64)]) {
    for &(sensor, value) in expected {
        assert_eq!(reading.value(sensor), Ok(value), "{sensor:?}");
    }
}

#[test]
fn every_sensor_of_a_card_is_read() {
    let driver = Driver::new(&script(busy()));
    let mut probe = driver.open().unwrap();
    let before = probe.read(Some(4_242));
    assert_eq!(
        before.value(Sensor::GpmSmActivity),
        Err(Absence::NoEarlierSample)
    );
    let reading = probe.read(Some(4_242));
    shows(
        &reading,
        &[
            // 400 W for 40 ms: the counter is renewed every 20 ms.
            (Sensor::Energy, 5_000_000 + 400 * 40),
            (Sensor::Power, 410_000),
            (Sensor::PowerAverage, 395_000),
            (Sensor::PowerInstant, 420_000),
            (Sensor::GpuUtilization, 97),
            (Sensor::MemoryUtilization, 64),
            (Sensor::MemoryUsed, 20_000 * MIB),
            (Sensor::ProcessMemory, 19_000 * MIB),
            (Sensor::ProcessCount, 1),
            (Sensor::SmClock, 1_755),
            (Sensor::MemoryClock, 2_619),
            (Sensor::Temperature, 61),
            (Sensor::ThrottleReasons, 4),
            (Sensor::PcieRx, 100),
            (Sensor::PcieTx, 200),
            (Sensor::EccEnabled, 1),
            (Sensor::EccUncorrected, 0),
            (Sensor::MigEnabled, 0),
            (Sensor::GpmSmActivity, 876),
            (Sensor::GpmSmOccupancy, 250),
            (Sensor::GpmTensorActivity, 123),
            (Sensor::GpmDramBandwidth, 704),
        ],
    );
    assert_eq!(reading.value(Sensor::Xid), Err(Absence::Quiet));
}

#[test]
fn a_gpm_metric_is_the_mean_since_the_sample_before() {
    let mut card = busy();
    card.sensors.gpm_sm_activity_permille = Series::steps(&[(0, 0), (25, 1_000)]);
    let driver = Driver::new(&script(card));
    let mut probe = driver.open().unwrap();
    let mut activity = || probe.read(None).value(Sensor::GpmSmActivity);
    let seen = [activity(), activity(), activity()];
    assert_eq!(seen, [Err(Absence::NoEarlierSample), Ok(500), Ok(1_000)]);
}

#[test]
fn the_facts_of_a_card_are_read() {
    let driver = Driver::new(&script(Card {
        power_limit_mw: Series::Constant(500_000),
        ..Card::default()
    }));
    let probe = driver.open().unwrap();
    let facts = probe.facts();
    assert_eq!(facts.name.as_deref(), Some("NVIDIA H100 80GB HBM3"));
    assert_eq!(facts.pci_bus_id.as_deref(), Some("00000000:01:00.0"));
    assert_eq!(facts.driver.as_deref(), Some("570.124.06"));
    assert_eq!(facts.cuda.as_deref(), Some("12.8"));
    assert_eq!(facts.memory_bytes, Some(85_520_809_984));
    assert_eq!(facts.max_sm_clock_mhz, Some(1_980));
    assert_eq!(facts.power_limit_mw, Some(500_000));
    assert_eq!(facts.power_limit_default_mw, Some(700_000));
    assert_eq!(
        (facts.ecc, facts.mig, facts.gpm),
        (Some(true), Some(false), Some(true))
    );
    assert!(facts.absent.is_empty(), "{:?}", facts.absent);
}

// Fault 16: no library, no driver, another version, no permission.

#[test]
fn an_absent_library_is_a_state_with_a_remedy() {
    let access = Access {
        library: Some(PathBuf::from("/nonexistent/libnvidia-ml.so.1")),
        limit: PATIENCE,
    };
    let unavailable = open(&access, &first(), &|_| ()).unwrap_err();
    assert!(
        matches!(unavailable, Unavailable::LibraryAbsent { .. }),
        "{unavailable:?}"
    );
    assert!(
        unavailable
            .to_string()
            .contains("/nonexistent/libnvidia-ml.so.1")
    );
    assert!(unavailable.remedy().contains("NVIDIA_DRIVER_CAPABILITIES"));
    let sensors = unavailable.sensors(Nanos::new(1));
    assert!(sensors.columns.is_empty() && sensors.absent.len() == Sensor::COUNT);
}

#[test]
fn a_driver_that_does_not_start_says_why() {
    for (code, expected) in [
        (9, Unavailable::DriverNotLoaded),
        (18, Unavailable::VersionMismatch),
        (4, Unavailable::NoPermission),
        (15, Unavailable::CardLost),
        (
            999,
            Unavailable::Failed {
                detail: "an internal error of the driver".to_owned(),
            },
        ),
    ] {
        let driver = Driver::new(&failing(vec![Fault::fails("nvmlInit_v2", code)]));
        assert_eq!(driver.open().unwrap_err(), expected, "code {code}");
    }
}

#[test]
fn a_library_that_is_no_nvml_is_named() {
    let driver = Driver::lacking(&script(Card::default()), &["nvmlInit_v2"]);
    let unavailable = driver.open().unwrap_err();
    assert!(
        matches!(unavailable, Unavailable::NotNvml { .. }),
        "{unavailable:?}"
    );
}

#[test]
fn a_driver_that_hangs_at_its_start_is_left_behind() {
    let mut driver = Driver::new(&failing(vec![Fault::hangs("nvmlInit_v2", 0, 3_600_000)]));
    driver.access.limit = Duration::from_millis(50);
    let waited = driver.access.limit;
    assert_eq!(driver.open().unwrap_err(), Unavailable::Silent { waited });
}

#[test]
fn a_driver_that_takes_its_time_is_told_of_once_and_has_all_of_it() {
    let mut driver = Driver::new(&failing(vec![Fault::hangs("nvmlInit_v2", 0, 3_500)]));
    driver.access.limit = PATIENCE;
    let told = RefCell::new(Vec::new());
    let probe = open(&driver.access, &first(), &|most| {
        told.borrow_mut().push(most);
    });
    assert!(probe.is_ok());
    assert_eq!(told.into_inner(), [PATIENCE]);
}

#[test]
fn a_machine_without_cards_is_a_state() {
    let driver = Driver::new(&Script {
        cards: Vec::new(),
        ..Script::default()
    });
    assert_eq!(
        driver.open().unwrap_err().to_string(),
        "the driver lists no card"
    );
}

// Fault 17: one function missing, one field not supported.

#[test]
fn a_missing_function_costs_its_sensor_alone() {
    let missing = [
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlGpmQueryDeviceSupport",
        "nvmlDeviceGetSupportedEventTypes",
    ];
    let driver = Driver::lacking(&script(busy()), &missing);
    let mut probe = driver.open().unwrap();
    let reading = probe.read(None);
    for sensor in [
        Sensor::Power,
        Sensor::Energy,
        Sensor::GpmSmActivity,
        Sensor::Xid,
    ] {
        assert_eq!(
            reading.value(sensor),
            Err(Absence::SymbolMissing),
            "{sensor:?}"
        );
    }
    shows(
        &reading,
        &[(Sensor::PowerInstant, 420_000), (Sensor::Temperature, 61)],
    );
    assert!(probe.facts().absent["gpm"].contains("too old"));
}

#[test]
fn a_field_that_is_not_supported_costs_itself_alone() {
    let faults = vec![
        Fault::fails("field:185", 3),
        Fault::fails("gpm:5", 3),
        Fault::fails("clock:2", 3),
        Fault::fails("nvmlDeviceGetTemperature", 4),
        Fault::fails("nvmlDeviceGetUtilizationRates", 999),
        Fault::fails("nvmlDeviceGetMemoryInfo_v2", 25),
    ];
    let driver = Driver::new(&Script {
        faults,
        ..script(busy())
    });
    let mut probe = driver.open().unwrap();
    probe.read(None);
    let reading = probe.read(None);
    assert_eq!(
        reading.value(Sensor::PowerAverage),
        Err(Absence::NotSupported)
    );
    assert_eq!(
        reading.value(Sensor::GpmTensorActivity),
        Err(Absence::NotSupported)
    );
    assert_eq!(
        reading.value(Sensor::MemoryClock),
        Err(Absence::NotSupported)
    );
    assert_eq!(
        reading.value(Sensor::Temperature),
        Err(Absence::NoPermission)
    );
    assert_eq!(
        reading.value(Sensor::GpuUtilization),
        Err(Absence::Driver("an internal error of the driver"))
    );
    assert_eq!(
        reading.value(Sensor::MemoryUsed),
        Err(Absence::Driver(
            "the driver knows another version of the question"
        ))
    );
    shows(
        &reading,
        &[
            (Sensor::PowerInstant, 420_000),
            (Sensor::GpmSmActivity, 876),
            (Sensor::SmClock, 1_755),
        ],
    );
    let absent = &probe.facts().absent;
    assert_eq!(absent["max_memory_clock_mhz"], "not supported by this card");
}

#[test]
fn numbers_that_cannot_be_are_absent_not_shown() {
    let none = u64::from(u32::MAX);
    let mut card = busy();
    card.sensors.power_mw = Series::Constant(none);
    card.sensors.power_instant_mw = Series::Constant(none);
    card.sensors.gpu_percent = Series::Constant(101);
    card.sensors.energy_mj = Series::Constant(u64::MAX);
    card.sensors.gpm_sm_activity_permille = Series::Constant(5_000);
    let driver = Driver::new(&script(card));
    let mut probe = driver.open().unwrap();
    probe.read(None);
    let reading = probe.read(None);
    for sensor in [
        Sensor::Power,
        Sensor::PowerInstant,
        Sensor::GpuUtilization,
        Sensor::Energy,
        Sensor::GpmSmActivity,
    ] {
        assert_eq!(
            reading.value(sensor),
            Err(Absence::OutOfRange),
            "{sensor:?}"
        );
    }
}

#[test]
fn facts_that_cannot_be_are_absent_with_their_reason() {
    let driver = Driver::new(&script(Card {
        max_sm_clock_mhz: u32::MAX,
        power_limit_mw: Series::Constant(u32::MAX.into()),
        memory_bytes: u64::MAX,
        ..Card::default()
    }));
    let probe = driver.open().unwrap();
    let facts = probe.facts();
    assert_eq!(facts.max_sm_clock_mhz, None);
    assert_eq!(facts.power_limit_mw, None);
    assert_eq!(facts.memory_bytes, None);
    for field in ["max_sm_clock_mhz", "power_limit_mw", "memory_bytes"] {
        let reason = "the driver answered with a number out of range";
        assert_eq!(facts.absent[field], reason, "{field}");
    }
}

#[test]
fn a_garbage_name_neither_stops_nor_moves_the_cursor() {
    let named = |name: &[u8]| {
        let driver = Driver::new(&script(Card {
            name: name.to_vec(),
            ..Card::default()
        }));
        driver.open().unwrap().facts().clone()
    };
    let broken = named(b"NVIDIA \xff\xfe");
    assert_eq!(broken.name, None);
    assert_eq!(
        broken.absent["name"],
        "the driver answered with broken text"
    );
    let hostile = named(b"H100\x1b[2J\n");
    assert_eq!(hostile.name.as_deref(), Some("H100\u{fffd}[2J\u{fffd}"));
}

// Fault 18: the card is lost, XID events.

#[test]
fn a_lost_card_is_a_state_and_ends_the_questions() {
    let mut script = failing(vec![Fault::fails_after("nvmlDeviceGetPowerUsage", 3, 15)]);
    script.tick_ms = None;
    let driver = Driver::new(&script);
    let sampler = driver.sampler();
    assert!(!sampler.wait_for_reading(Nanos::new(u64::MAX), PATIENCE));
    let CardState::Lost { cause, .. } = sampler.state() else {
        panic!("{:?}", sampler.state());
    };
    assert_eq!(cause, LossCause::Driver);
    let sensors = sampler.cut(Nanos::new(0), Monotonic.now());
    let power = &sensors.columns["power_mw"];
    assert_eq!(power[..], [Some(70_000), Some(70_000), Some(70_000), None]);
}

#[test]
fn an_xid_that_ends_the_card_is_seen_and_another_is_not_taken_for_one() {
    for (xid, ends) in [(79, true), (48, true), (94, true), (31, false), (63, false)] {
        let card = Card {
            events: vec![Event { at_ms: 0, xid }],
            ..Card::default()
        };
        let driver = Driver::new(&Script {
            cards: vec![card],
            ..Script::default()
        });
        let start = Monotonic.now();
        let sampler = driver.sampler();
        assert!(sampler.wait_for_reading(start, PATIENCE));
        let sensors = sampler.cut(start, Monotonic.now());
        assert_eq!(sensors.columns["xid"][0], Some(xid));
        let lost = matches!(
            sampler.state(),
            CardState::Lost { cause: LossCause::Xid(seen), .. } if seen == xid
        );
        assert_eq!(lost, ends, "XID {xid}");
    }
}

#[test]
fn a_card_that_is_lost_at_the_start_is_said_to_be() {
    let driver = Driver::new(&failing(vec![Fault::fails(
        "nvmlDeviceGetHandleByIndex_v2",
        15,
    )]));
    assert_eq!(driver.open().unwrap_err(), Unavailable::CardLost);
}

// Faults 19 and 20: throttling, other processes, changes of ECC and MIG.

#[test]
fn throttling_and_changes_of_the_card_show_in_their_columns() {
    let mut card = busy();
    card.sensors.throttle_reasons = Series::steps(&[(0, 0), (100, 0x40)]);
    card.ecc = Some(Series::steps(&[(0, 1), (100, 0)]));
    card.mig = Some(Series::steps(&[(0, 0), (100, 1)]));
    card.processes.push(Process {
        owner: Owner::Pid(999),
        memory_bytes: Some(512 * MIB),
        from_ms: 100,
        to_ms: Some(150),
    });
    let driver = Driver::new(&script(card));
    let mut probe = driver.open().unwrap();
    let readings: Vec<Reading> = (0..4).map(|_| probe.read(Some(4_242))).collect();
    let column = |sensor| -> Vec<u64> {
        readings
            .iter()
            .map(|reading| reading.value(sensor).unwrap())
            .collect()
    };
    assert_eq!(column(Sensor::ThrottleReasons), [0, 0, 0x40, 0x40]);
    assert_eq!(column(Sensor::EccEnabled), [1, 1, 0, 0]);
    assert_eq!(column(Sensor::MigEnabled), [0, 0, 1, 1]);
    assert_eq!(column(Sensor::ProcessCount), [1, 1, 2, 1]);
    assert_eq!(column(Sensor::ProcessMemory), [19_000 * MIB; 4]);
    let pids: Vec<u32> = readings[2]
        .processes
        .iter()
        .map(|process| process.pid)
        .collect();
    assert_eq!(pids, [4_242, 999]);
}

#[test]
fn the_worker_that_the_driver_does_not_list_has_no_memory_of_its_own() {
    let driver = Driver::new(&script(busy()));
    let mut probe = driver.open().unwrap();
    let memory = |probe: &mut NvmlProbe, worker| probe.read(worker).value(Sensor::ProcessMemory);
    assert_eq!(memory(&mut probe, None), Err(Absence::NoWorker));
    assert_eq!(memory(&mut probe, Some(1)), Err(Absence::NotListed));
    let mut card = busy();
    card.processes[0].memory_bytes = None;
    let driver = Driver::new(&script(card));
    let mut probe = driver.open().unwrap();
    assert_eq!(memory(&mut probe, Some(4_242)), Err(Absence::NotTold));
}

#[test]
fn a_process_counts_once_and_one_without_an_id_for_itself() {
    let mut card = busy();
    let entry = |pid| Process {
        owner: Owner::Pid(pid),
        ..busy().processes[0].clone()
    };
    card.processes = [4_242, 4_242, 7, 0, 0].map(entry).to_vec();
    let driver = Driver::new(&script(card));
    let reading = driver.open().unwrap().read(Some(4_242));
    shows(
        &reading,
        &[
            (Sensor::ProcessCount, 4),
            (Sensor::ProcessMemory, 2 * 19_000 * MIB),
        ],
    );
}

/// The script cannot know the worker's id before it runs, so it may list whatever the caller starts.
#[test]
fn a_child_of_the_measuring_process_is_found_among_the_processes() {
    let mut card = busy();
    card.processes[0].owner = Owner::Children;
    let driver = Driver::new(&script(card));
    let mut probe = driver.open().unwrap();
    let mut child = Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let reading = probe.read(Some(child.id()));
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(reading.value(Sensor::ProcessMemory), Ok(19_000 * MIB));
}

// Fault 21 at this layer: the counter arrives as the driver gives it; `metrics::energy` judges it.

#[test]
fn a_counter_that_resets_is_handed_on_as_it_is() {
    let mut card = busy();
    card.sensors.energy_mj = Series::steps(&[(0, 9_000), (50, 9_500), (100, 0), (150, 400)]);
    let driver = Driver::new(&script(card));
    let mut probe = driver.open().unwrap();
    let counter: Vec<_> = (0..4)
        .map(|_| probe.read(None).value(Sensor::Energy))
        .collect();
    assert_eq!(counter, [Ok(9_000), Ok(9_500), Ok(0), Ok(400)]);
}

// Fault 22: the sampler is held up.

#[test]
fn a_driver_that_holds_up_a_reading_leaves_a_gap() {
    let mut script = failing(vec![Fault::hangs("nvmlDeviceGetMemoryInfo_v2", 3, 200)]);
    script.tick_ms = None;
    let driver = Driver::new(&script);
    let start = Monotonic.now();
    let sampler = driver.sampler();
    let later = Nanos::new(start.value() + 400_000_000);
    assert!(sampler.wait_for_reading(later, PATIENCE));
    let sensors = sampler.cut(start, later);
    let pause = sensors
        .at_ns
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).unwrap())
        .max();
    assert!(pause >= Some(Nanos::new(200_000_000)), "{pause:?}");
    let window = mtok::metrics::energy::Window {
        from: sensors.at_ns[0],
        to: *sensors.at_ns.last().unwrap(),
    };
    assert!(!mtok::metrics::energy::gaps(&sensors, window).is_empty());
    assert_eq!(sampler.state(), CardState::Answering);
}

#[test]
fn a_driver_that_hangs_in_mid_run_does_not_hang_the_run() {
    let mut script = failing(vec![Fault::hangs("nvmlDeviceGetTemperature", 2, 3_600_000)]);
    script.tick_ms = None;
    let driver = Driver::new(&script);
    let start = Monotonic.now();
    let sampler = driver.sampler();
    // The readings stop; nothing that the owner calls waits for the driver.
    let never = Nanos::new(u64::MAX);
    assert!(!sampler.wait_for_reading(never, Duration::from_millis(1_500)));
    let CardState::Silent { question, .. } = sampler.state() else {
        panic!("{:?}", sampler.state());
    };
    assert_eq!(format!("{question:?}"), "Temperature");
    let now = Monotonic.now();
    let sensors = sampler.cut(start, now);
    assert_eq!(sensors.columns["power_mw"].len(), 2);
    drop(sampler);
    let parting = Monotonic.now().since(now).unwrap();
    assert!(parting < Nanos::new(1_000_000_000), "{parting:?}");
}

// Which card: by identity, not by index.

fn two_cards() -> Script {
    let other = Card {
        name: b"NVIDIA L4".to_vec(),
        uuid: "GPU-99999999-8888-7777-6666-555555555555".to_owned(),
        pci_bus_id: "00000000:41:00.0".to_owned(),
        ..Card::default()
    };
    Script {
        cards: vec![other, busy()],
        ..script(Card::default())
    }
}

#[test]
fn the_card_is_the_one_that_the_engine_names() {
    let driver = Driver::new(&two_cards());
    let named = |choice: &Choice| {
        let probe = driver.open_by(choice).map_err(|error| error.to_string())?;
        Ok::<_, String>(probe.facts().name.clone().unwrap())
    };
    let h100 = Ok("NVIDIA H100 80GB HBM3".to_owned());
    assert_eq!(named(&identity(None, Some("0000:01:00.0"))), h100);
    let uuid = "GPU-11111111-2222-3333-4444-555555555555";
    assert_eq!(named(&identity(Some(uuid), None)), h100);
    let by_bus = Choice::Ordinal {
        ordinal: 0,
        visibility: Visibility {
            devices: None,
            order: DeviceOrder::PciBusId,
        },
    };
    assert_eq!(named(&by_bus), h100);
    let error = named(&identity(Some("GPU-0"), None)).unwrap_err();
    assert_eq!(error, "the driver lists no card GPU-0");
    let error = named(&first()).unwrap_err();
    assert_eq!(error, "2 cards: which one CUDA calls 0 is not known");
}

#[test]
fn a_card_that_fails_does_not_hide_its_neighbour() {
    let mut script = two_cards();
    script.faults = vec![Fault {
        card: Some(0),
        ..Fault::fails("*", 15)
    }];
    let driver = Driver::new(&script);
    let mut probe = driver
        .open_by(&identity(None, Some("0000:01:00.0")))
        .unwrap();
    shows(&probe.read(None), &[(Sensor::Temperature, 61)]);
}

#[test]
fn a_slice_has_its_own_memory_and_no_power() {
    let slice = |uuid: &str, used| Slice {
        uuid: uuid.to_owned(),
        memory_bytes: 10_000 * MIB,
        memory_used_bytes: Series::Constant(used),
    };
    let mut card = busy();
    card.mig = Some(Series::Constant(1));
    card.slices = vec![slice("MIG-a", 1), slice("MIG-b", 2)];
    let driver = Driver::new(&script(card));
    // CUDA gives the bytes of a slice's UUID without saying that it is one.
    let choice = identity(Some("GPU-b"), Some("0000:01:00.0"));
    let mut probe = driver.open_by(&choice).unwrap();
    assert_eq!(probe.facts().mig_uuid.as_deref(), Some("MIG-b"));
    assert_eq!(probe.facts().memory_bytes, Some(10_000 * MIB));
    let reading = probe.read(None);
    shows(
        &reading,
        &[(Sensor::MemoryUsed, 2), (Sensor::Temperature, 61)],
    );
    for sensor in [Sensor::Energy, Sensor::PowerInstant, Sensor::GpuUtilization] {
        assert_eq!(
            reading.value(sensor),
            Err(Absence::SharedByMig),
            "{sensor:?}"
        );
    }
}

// Doctor.

fn finding<'a>(findings: &'a [Finding], what: &str) -> &'a Finding {
    findings
        .iter()
        .find(|finding| finding.what == what)
        .unwrap()
}

#[test]
fn a_card_in_order_needs_no_remedy() {
    let driver = Driver::new(&script(Card::default()));
    let findings = driver.examine();
    let remedies: Vec<_> = findings
        .iter()
        .filter(|finding| finding.remedy.is_some())
        .collect();
    assert!(remedies.is_empty(), "{remedies:?}");
    assert_eq!(finding(&findings, "driver").state, "570.124.06 (CUDA 12.8)");
    assert_eq!(finding(&findings, "power limit").state, "700 of 700 W");
}

#[test]
fn what_is_out_of_order_comes_with_a_remedy() {
    let mut card = busy();
    card.power_limit_mw = Series::Constant(450_000);
    card.persistence = false;
    card.gpm = false;
    card.ecc = None;
    card.sensors.throttle_reasons = Series::Constant(0x2);
    let driver = Driver::lacking(&script(card), &["nvmlDeviceGetTotalEnergyConsumption"]);
    let findings = driver.examine();
    for what in [
        "energy counter",
        "GPM",
        "clocks",
        "power limit",
        "persistence",
        "other processes",
    ] {
        assert!(finding(&findings, what).remedy.is_some(), "{what}");
    }
    assert_eq!(
        finding(&findings, "ECC").state,
        "— (not supported by this card)"
    );
    assert_eq!(finding(&findings, "other processes").state, "1 (pid 4242)");
    assert!(
        finding(&findings, "power limit")
            .remedy
            .as_ref()
            .unwrap()
            .contains("-pl 700")
    );
}

#[test]
fn a_card_without_any_power_does_not_promise_an_integral() {
    let names = [
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetPowerUsage",
        "field:185",
        "field:186",
    ];
    let driver = Driver::new(&failing(names.map(|name| Fault::fails(name, 3)).into()));
    let findings = driver.examine();
    let remedy = finding(&findings, "energy counter").remedy.as_ref();
    assert!(remedy.unwrap().contains("no power either"), "{remedy:?}");
}

#[test]
fn a_divided_card_whose_slice_is_not_known_shows_nothing_of_all_slices() {
    let mut card = busy();
    card.mig = Some(Series::Constant(1));
    let driver = Driver::new(&script(card));
    let reading = driver.open().unwrap().read(None);
    for sensor in [Sensor::Energy, Sensor::MemoryUsed, Sensor::ProcessCount] {
        assert_eq!(
            reading.value(sensor),
            Err(Absence::SharedByMig),
            "{sensor:?}"
        );
    }
    let findings = driver.examine();
    assert_eq!(finding(&findings, "MIG").state, "on");
    assert!(finding(&findings, "MIG").remedy.is_some());
    let shared = "the card gives it for all MIG slices together";
    assert_eq!(finding(&findings, "GPM").state, format!("— ({shared})"));
    let sensors = &finding(&findings, "sensors").state;
    assert_eq!(sensors.matches(shared).count(), 1, "{sensors}");
}

#[test]
fn without_a_driver_the_diagnosis_is_one_line() {
    let driver = Driver::new(&failing(vec![Fault::fails("nvmlInit_v2", 9)]));
    let findings = driver.examine();
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0]
            .state
            .starts_with("the NVIDIA driver is not loaded; a report lacks"),
        "{}",
        findings[0].state
    );
}

/// The dynamic loader reads `LD_LIBRARY_PATH` when a process starts, so this test runs itself again
/// in a process that has it set, with another script named by the environment.
#[test]
fn the_loader_finds_the_library_by_its_name() {
    const NAME: &str = "the_loader_finds_the_library_by_its_name";
    if std::env::var_os(SCRIPT_VARIABLE).is_some() {
        let probe = open(&Access::default(), &first(), &|_| ()).unwrap();
        println!("found {}", probe.facts().name.as_deref().unwrap());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    install(
        folder.path(),
        &failing(vec![Fault::fails("nvmlInit_v2", 9)]),
        &[],
    )
    .unwrap();
    let named = script(Card {
        name: b"Card of the environment".to_vec(),
        ..Card::default()
    });
    let path = folder.path().join("named.json");
    std::fs::write(&path, serde_json::to_vec(&named).unwrap()).unwrap();
    let harness = std::fs::read_link("/proc/self/exe").unwrap();
    let output = Command::new(harness)
        .args(["--exact", NAME, "--nocapture"])
        .env("LD_LIBRARY_PATH", folder.path())
        .env(SCRIPT_VARIABLE, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("found Card of the environment"), "{output:?}");
}
