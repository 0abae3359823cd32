//! SkyPilot's tables of instances, by made-up ones with every quirk of the real.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use jiff::civil::date;
use mtok::catalog::import::skypilot::{Selection, Statistic, import};
use mtok::catalog::import::{Implausible, Import, ImportError, ImportOptions};

const OPTIONS: ImportOptions = ImportOptions {
    as_of: date(2026, 11, 23),
    implausible: Implausible::Quarantine,
};

fn selection(cloud: &str) -> Selection {
    Selection {
        cloud: cloud.to_owned(),
        region: None,
        statistic: Statistic::Min,
    }
}

fn read(cloud: &str, bytes: &[u8]) -> Import {
    import(bytes, &selection(cloud), OPTIONS).unwrap()
}

/// Id, card and price of every row.
fn rows(import: &Import) -> Vec<String> {
    import
        .file
        .rentals
        .iter()
        .map(|row| {
            format!(
                "{} = {} x{} {} {}",
                row.id,
                row.gpu,
                row.quantum_gpus,
                row.usd_per_gpu_hour,
                row.region.as_deref().unwrap_or("-")
            )
        })
        .collect()
}

const RUNPOD: &[u8] = include_bytes!("fixtures/prices/skypilot-runpod.csv");

#[test]
fn rows_are_gathered_over_regions_and_divided_by_their_gpus() {
    let import = read("runpod", RUNPOD);
    assert_eq!(
        rows(&import),
        [
            "runpod-a100-80gb-1x-a100-80gb-secure = a100-80gb x1 1.5 CA",
            "runpod-h100-sxm-1x-h100-sxm-secure = h100-sxm x1 3 min of 2 regions",
            "runpod-h100-sxm-8x-h100-sxm-secure = h100-sxm x8 3 US",
        ]
    );
    assert_eq!(import.summary.skipped["no accelerator"], 1);
    assert_eq!(import.summary.entries, 6);
    assert!(
        import.file.rentals[0].note.is_some(),
        "the form factor is open"
    );
}

#[test]
fn a_region_and_a_statistic_can_be_chosen() {
    let swedish = Selection {
        region: Some("se".to_owned()),
        ..selection("runpod")
    };
    let import = import(RUNPOD, &swedish, OPTIONS).unwrap();
    assert_eq!(
        rows(&import),
        ["runpod-h100-sxm-1x-h100-sxm-secure = h100-sxm x1 3.6 SE"]
    );
    assert_eq!(import.summary.skipped["another region"], 4);

    let vast = include_bytes!("fixtures/prices/skypilot-vast.csv");
    let median = Selection {
        statistic: Statistic::Median,
        region: Some("US".to_owned()),
        ..selection("vast")
    };
    let import = mtok::catalog::import::skypilot::import(vast, &median, OPTIONS).unwrap();
    assert!(
        rows(&import).contains(
            &"vast-h100-sxm-1x-h100-sxm-32-65536 = h100-sxm x1 2 median of 2 regions".to_owned()
        ),
        "{:?}",
        rows(&import)
    );
}

#[test]
fn empty_prices_leave_the_other_market() {
    let import = read(
        "verda",
        include_bytes!("fixtures/prices/skypilot-verda.csv"),
    );
    assert_eq!(
        rows(&import),
        [
            "verda-b200-sxm-1b200-30v = b200-sxm x1 5 FIN-03",
            "verda-b200-sxm-1b200-30v-spot = b200-sxm x1 1.75 FIN-03",
            "verda-h100-1h100-80s-32v = h100 x1 2.3 FIN-02",
            "verda-h100-1h100-80s-32v-spot = h100 x1 0.8 FIN-02",
            "verda-h200-sxm-1h200-141s-44v = h200-sxm x1 3.4 FIN-02",
            "verda-b200-sxm-2b200-60v-spot = b200-sxm x2 1.75 FIN-03",
        ]
    );
    assert_eq!(import.summary.skipped["no price"], 1);
}

#[test]
fn a_spot_price_of_nothing_or_above_the_price_is_no_spot_market() {
    let vast = read("vast", include_bytes!("fixtures/prices/skypilot-vast.csv"));
    assert!(rows(&vast).iter().all(|row| !row.contains("-spot")));
    let aws = read(
        "aws",
        include_bytes!("fixtures/prices/skypilot-aws-gcp.csv"),
    );
    assert_eq!(
        rows(&aws),
        [
            "aws-l4-g6-xlarge = l4 x1 0.8 us-east-1",
            "aws-h100-sxm-p5-48xlarge = h100-sxm x8 7 min of 2 regions",
            "aws-h100-sxm-p5-48xlarge-spot = h100-sxm x8 2 min of 2 regions",
            "aws-h200-sxm-p5e-48xlarge-spot = h200-sxm x8 7.87375 us-east-2",
            "aws-h200-sxm-p5en-48xlarge = h200-sxm x8 5 us-west-2",
        ]
    );
    assert_eq!(aws.summary.skipped["not a GPU"], 1);
    assert_eq!(aws.summary.skipped["a placeholder for no price"], 1);
    assert_eq!(aws.summary.skipped["not a whole number of GPUs"], 1);
}

#[test]
fn columns_may_come_in_any_order_and_memory_is_never_read() {
    let head = "InstanceType,AcceleratorName,AcceleratorCount,GpuInfo,Price,SpotPrice,Region";
    let cells = [
        "8x_H100-SXM",
        "H100-SXM",
        "8.0",
        "{broken",
        "24.00",
        "12.00",
        "US",
    ];
    let rows_of = |order: &[usize]| {
        let names: Vec<&str> = head.split(',').collect();
        let line = |of: &dyn Fn(usize) -> String| {
            order.iter().map(|at| of(*at)).collect::<Vec<_>>().join(",")
        };
        let csv = format!(
            "{}\n{}\n",
            line(&|at| names[at].to_owned()),
            line(&|at| cells[at].to_owned())
        );
        rows(&read("x", csv.as_bytes()))
    };
    let first = rows_of(&[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(
        first,
        [
            "x-h100-sxm-8x-h100-sxm = h100-sxm x8 3 US",
            "x-h100-sxm-8x-h100-sxm-spot = h100-sxm x8 1.5 US"
        ]
    );
    assert_eq!(rows_of(&[6, 5, 4, 3, 2, 1, 0]), first);
    assert_eq!(rows_of(&[4, 0, 6, 2, 5, 1, 3]), first);
}

#[test]
fn spot_prices_count_only_below_the_price_and_above_nothing() {
    let head = "InstanceType,AcceleratorName,AcceleratorCount,Price,SpotPrice,Region\n";
    for (price, spot, markets) in [
        ("2.00", "1.00", 2),
        ("2.00", "2.00", 1),
        ("2.00", "62.99", 1),
        ("2.00", "0.00", 1),
        ("2.00", "", 1),
        ("", "1.00", 1),
        ("700.0", "700.0", 0),
        ("0", "0", 0),
    ] {
        // Another line keeps the table from being empty.
        let csv = format!("{head}a,L4,1,{price},{spot},r\nz,L40S,1,5.00,,r\n");
        let found = rows(&read("x", csv.as_bytes())).len() - 1;
        assert_eq!(found, markets, "{price} {spot}");
    }
}

#[track_caller]
fn refused(csv: &str, expected: &str) {
    let error = import(csv.as_bytes(), &selection("x"), OPTIONS).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn malformed_tables_are_refused_with_line_and_field() {
    refused(
        "a,b\n1,2\n",
        "1:1: no column InstanceType; is it a SkyPilot catalog vms.csv?",
    );
    let head = "InstanceType,AcceleratorName,AcceleratorCount,Price,Region\n";
    refused(
        &format!("{head}a,H100,1,cheap,r\n"),
        "2:4: `cheap` is no number of 0 or more",
    );
    refused(
        &format!("{head}a,H100,1,1,r\nb,H100,1,-2,r\n"),
        "3:4: `-2` is no number of 0 or more",
    );
    refused(
        &format!("{head}a,H100,1\n"),
        "2:1: 3 fields where the header has 5",
    );
    refused(
        "",
        "1:1: no column InstanceType; is it a SkyPilot catalog vms.csv?",
    );
}

#[test]
fn bytes_that_are_no_text_and_tables_without_gpus_are_refused() {
    let head = b"InstanceType,AcceleratorName,AcceleratorCount,Price,Region\n".to_vec();
    let broken = [head.clone(), b"a,H100,1,\xff,r\n".to_vec()].concat();
    let error = import(&broken, &selection("x"), OPTIONS).unwrap_err();
    assert_eq!(error.to_string(), "2:1: not UTF-8");
    let empty = import(&head, &selection("x"), OPTIONS).unwrap_err();
    assert!(matches!(empty, ImportError::Empty { .. }));
}
