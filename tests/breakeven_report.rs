//! The break-even report: from a scenario to Markdown, HTML and CSV.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mtok::catalog::Catalog;
use mtok::cost::answer;
use mtok::cost::answer::Answer;
use mtok::cost::measured::{Estimate, Measured, MeasuredPoint};
use mtok::cost::resolve::{Evidence, Sources};
use mtok::cost::scenario::{Document, MeetsQuality};
use mtok::cost::trace::Trace;
use mtok::report::breakeven::{to_csv, to_html, to_markdown};
use mtok::study::model::{ModelCard, Precision, Shape};
use mtok::study::variant::Variant;

/// The model cards of this repository, and nothing else.
struct Cards;

/// A model of 3.4 million parameters.
const TINY: &str = "layers = 4\nhidden = 256\nffn = 768\nheads = 4\nkv_heads = 2\nhead_dim = 64\n\
                    vocab = 512\nrope_theta = 10000.0\nnorm_eps = 1e-5\ncontext = 4096\n";

impl Evidence for Cards {
    fn card(&self, name: &str) -> Result<ModelCard, String> {
        let path = root().join("models").join(format!("{name}.toml"));
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        toml::from_str(&text).map_err(|error| error.to_string())
    }

    fn measured(&self, path: &str) -> Result<Measured, String> {
        let rate = |value: f64| Estimate {
            value,
            low: value * 0.8,
            high: value * 1.25,
            repetitions: 14,
        };
        let shape: Shape = toml::from_str(TINY).map_err(|error| error.to_string())?;
        if path == "lengths" {
            return Ok(of_several_lengths(shape));
        }
        Ok(Measured {
            source: path.to_owned(),
            date: None,
            gpu: None,
            gpus: 1,
            simulated: false,
            model: Some("tiny".to_owned()),
            shape: Some(shape),
            points: vec![MeasuredPoint {
                precision: Precision::Q4K,
                kv: None,
                batch: 4.0,
                isl: 128.0,
                osl: 32.0,
                prefill_tokens_per_second: rate(13_500.0),
                decode_tokens_per_second: Some(rate(7_300.0)),
                output_tokens_per_second: rate(2_300.0),
                ttft_ms: Some(38.0),
                tpot_ms: Some(0.6),
            }],
        })
    }

    fn trace(&self, path: &str) -> Result<Trace, String> {
        Err(format!("no trace {path} here"))
    }

    fn quality(&self, path: &str, _: Variant) -> Result<MeetsQuality, String> {
        Err(format!("no study {path} here"))
    }
}

/// A study in which an input token takes 1 ms, an output token 10 ms and a call 50 ms.
fn of_several_lengths(shape: Shape) -> Measured {
    let exact = |value: f64| Estimate {
        value,
        low: value * 0.99,
        high: value * 1.01,
        repetitions: 14,
    };
    let point = |isl: f64, osl: f64| MeasuredPoint {
        precision: Precision::F16,
        kv: None,
        batch: 1.0,
        isl,
        osl,
        prefill_tokens_per_second: exact(1_000.0),
        decode_tokens_per_second: Some(exact(100.0)),
        output_tokens_per_second: exact(osl / (0.001 * isl + 0.01 * osl + 0.05)),
        ttft_ms: Some(38.0),
        tpot_ms: Some(10.0),
    };
    Measured {
        source: "lengths".to_owned(),
        date: None,
        gpu: None,
        gpus: 1,
        simulated: false,
        model: Some("tiny".to_owned()),
        shape: Some(shape),
        points: vec![point(500.0, 150.0), point(100.0, 150.0), point(500.0, 10.0)],
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn solve(text: &str) -> Answer {
    let document = Document::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let catalog = Catalog::bundled();
    let sources = Sources {
        book: &catalog,
        evidence: &Cards,
    };
    answer(&document, sources).unwrap_or_else(|error| panic!("{error}"))
}

/// The answers to the ready scenarios by the names of their folders.
static ANSWERS: LazyLock<Vec<(String, Answer)>> = LazyLock::new(|| {
    let solved = |folder: &PathBuf| {
        let name = folder.file_name().expect("a folder of its own");
        let name = name.to_string_lossy().into_owned();
        let answer = solve(&scenario(&name));
        (name, answer)
    };
    folders().iter().map(solved).collect()
});

fn ready(name: &str) -> &'static Answer {
    let found = ANSWERS.iter().find(|(known, _)| known == name);
    &found.expect("a ready scenario").1
}

/// The folders of the ready scenarios.
fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("results")).expect("the ready scenarios");
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|folder| folder.join("scenario.toml").exists())
        .collect();
    folders.sort();
    folders
}

fn scenario(name: &str) -> String {
    let path = root().join("results").join(name).join("scenario.toml");
    std::fs::read_to_string(path).expect("a ready scenario")
}

#[test]
fn the_guides_numbers_stand_on_page_one() {
    let text = to_markdown(ready("guide-chatbot"));
    let page_one = text.split("# For the engineer").next().unwrap();
    for number in [
        "$825.00",
        "$2,880",
        "$0.00275",
        "$0.0096",
        "2.31\u{a0}%",
        "1,047,273",
        "8.08\u{a0}%",
        "3.49×",
    ] {
        assert!(page_one.contains(number), "{number} in {page_one}");
    }
}

#[test]
fn ready_scenarios_have_all_their_parts() {
    for (name, answer) in ANSWERS.iter() {
        let text = to_markdown(answer);
        let headings = [
            "## Options",
            "## Unit prices",
            "## How sure",
            "## Cash",
            "## What would change the answer",
            "## Look again when",
            "## Doubts",
            "## Assumptions",
            "# For the engineer",
            "## Operating point",
            "## USD per million tokens",
            "## Replicas by volume",
            "## Replicas by hour",
            "## What each lever saves",
            "## Sensitivity",
            "## The comparison",
            "## Common claims",
            "## Provenance",
        ];
        let places: Vec<usize> = headings
            .iter()
            .filter_map(|heading| text.find(&format!("\n{heading}\n")))
            .collect();
        assert!(places.is_sorted(), "the parts keep their order");
        for heading in headings {
            assert!(
                text.contains(&format!("\n{heading}\n")),
                "{heading} in {name}"
            );
        }
    }
}

#[test]
fn pictures_are_drawn_for_a_whole_scenario() {
    let html = to_html(ready("bursty"));
    for title in [
        "Monthly cost against volume",
        "Price of a million tokens against utilization",
        "What moves the saving",
        "How the saving of self-hosting is spread",
        "Cost of a conversation by its length",
        "Both bills part by part",
        "Replicas over the day",
    ] {
        assert!(html.contains(&format!("<title>{title}</title>")), "{title}");
    }
    assert!(!html.contains("NaN") && !html.contains(">inf"));
}

#[test]
fn the_same_answer_gives_the_same_bytes() {
    let text = scenario("guide-chatbot");
    assert_eq!(to_html(&solve(&text)), to_html(&solve(&text)));
    assert_eq!(to_csv(&solve(&text)), to_csv(&solve(&text)));
}

/// Names as TOML texts that mean something to a browser, to Markdown, to a spreadsheet or to a terminal.
const HOSTILE: [&str; 11] = [
    r"</SCRIPT><img src=x onerror=alert(1)>",
    r"</svg></style><script>alert(1)</script>",
    r"](javascript:alert(1)) ![i](http://x/y.png)",
    r"a|b\n# heading\r\n| c |",
    r"\u202Ertl\u2066\u200B\uFEFF\u2028",
    r#"=HYPERLINK(\"http://x\",\"y\")"#,
    r"@SUM(1+1)*cmd|' /C calc'!A0",
    r"+1\t-1",
    r"\u001b[2J\u0007\u009b31m",
    r#"\"'`<!-- --> &lt;b&gt; &#106; ${x} {{x}}"#,
    r"https://example.com/ www.example.com a_b_ *c* ~~d~~",
];

/// A scenario in which every text that somebody may choose is hostile, each name in turn everywhere.
fn hostile_scenarios() -> Vec<String> {
    let text = scenario("bursty").replace(
        "model = \"claude-haiku-4-5\"",
        "input_usd_per_mtok = 1\noutput_usd_per_mtok = 5\nsource = \"x\"",
    );
    let long = format!("{}</script>", "x".repeat(5_000));
    let names = HOSTILE.iter().copied().chain([long.as_str()]);
    let renamed = |name: &str| {
        let line = |line: &str| match line.split_once(" = \"") {
            Some((key @ ("name" | "source"), _)) => format!("{key} = \"{name}\""),
            Some(_) | None => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    };
    names.map(renamed).collect()
}

#[test]
fn hostile_names_stay_inert_in_every_form() {
    for text in hostile_scenarios() {
        let text = text.replace("draws = 10_000", "draws = 200");
        let answer = solve(&text);
        let (html, markdown) = (to_html(&answer), to_markdown(&answer));
        let lower = html.to_lowercase();
        for active in [
            "<script", "<img", "<iframe", "<link", "<a ", "style=\"", "url(", "@import", "<!--",
        ] {
            assert!(!lower.contains(active), "{active}");
        }
        assert_eq!(html.matches("</style>").count(), 1);
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        for text in [&html, &markdown] {
            let acts = |c: char| {
                (c.is_control() && c != '\n')
                    || ('\u{200B}'..='\u{200F}').contains(&c)
                    || ('\u{2028}'..='\u{202E}').contains(&c)
                    || ('\u{2060}'..='\u{206F}').contains(&c)
                    || c == '\u{FEFF}'
            };
            assert!(!text.contains(acts), "{:?}", text.find(acts));
        }
        for active in [
            "<img",
            "<script",
            "<!--",
            "[i](",
            "](javascript",
            "\n# heading",
        ] {
            let plain = markdown
                .replace("\\](", "")
                .replace("\\]", "")
                .replace("\\[", "");
            assert!(!plain.contains(active), "{active}");
        }
        table_rows_are_whole(&markdown);
        let csv = to_csv(&answer);
        for cell in csv.lines().skip(1).flat_map(|line| line.split(',')) {
            let known = ["", "api", "self_hosted", "equal"].contains(&cell);
            assert!(known || cell.parse::<f64>().is_ok(), "{cell}");
        }
    }
}

/// Every row of a Markdown table has as many cells as its heading.
#[track_caller]
fn table_rows_are_whole(markdown: &str) {
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let lines: Vec<&str> = markdown.lines().collect();
    for pair in lines.windows(2) {
        if pair[0].starts_with('|') && pair[1].starts_with('|') {
            assert_eq!(cells(pair[0]), cells(pair[1]), "{}\n{}", pair[0], pair[1]);
        }
    }
}

#[test]
fn hostile_names_do_not_act_on_a_terminal() {
    let folder = std::env::temp_dir().join(format!("mtok-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("scenario.toml");
    let acting = |text: &String| text.contains("\\u");
    for text in hostile_scenarios().into_iter().filter(acting) {
        std::fs::write(&path, text.replace("draws = 10_000", "draws = 200")).unwrap();
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_mtok"))
            .arg("breakeven")
            .arg(&path)
            .output()
            .unwrap();
        assert!(run.status.success());
        for shown in [run.stdout, run.stderr] {
            let shown = String::from_utf8(shown).unwrap();
            let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!shown.contains(acts), "{shown:?}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn no_sentence_of_our_own_is_cut() {
    for (name, answer) in ANSWERS.iter() {
        let text = to_markdown(answer);
        let verdict = text.lines().nth(2).unwrap();
        assert!(
            verdict.ends_with("**") && !verdict.contains('…'),
            "{name}: {verdict}"
        );
    }
}

#[test]
fn one_side_alone_has_a_report() {
    let api = solve(
        "[traffic]\nrequests_per_day = 100\nuser_tokens = 10\noutput_tokens = 10\n[api]\nmodel = \"gpt-4o\"\n",
    );
    let text = to_markdown(&api);
    assert!(text.contains("What gpt-4o costs"), "{text}");
    assert!(!text.contains("NaN") && !text.contains("inf"));
    assert!(to_html(&api).contains("</html>"));
}

#[test]
fn the_curve_is_one_row_per_volume() {
    let csv = to_csv(ready("guide-chatbot"));
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "requests_per_month,api_usd_per_month,self_hosted_usd_per_month,cheaper,\
         api_usd_per_month_p5,api_usd_per_month_p95,\
         self_hosted_usd_per_month_p5,self_hosted_usd_per_month_p95"
    );
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert!(rows.len() > 50);
    assert!(rows.iter().all(|row| row.len() == 8));
    let today = rows.iter().find(|row| row[0] == "300000").unwrap();
    assert_eq!(today[1..4], ["825", "2880", "api"]);
    let band: Vec<f64> = today[4..].iter().map(|end| end.parse().unwrap()).collect();
    assert!((band[0] - 825.0).abs() < 1e-9 && (band[1] - 825.0).abs() < 1e-9);
    assert!(band[2] < 2880.0 && 2880.0 < band[3]);
    let volumes: Vec<f64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert!(volumes.is_sorted());
}

#[track_caller]
fn near(got: f64, want: f64) {
    assert!(
        (got - want).abs() <= 1e-6 * want.abs().max(1e-6),
        "{got} for {want}"
    );
}

#[test]
fn the_parts_of_both_bills_add_up() {
    for (name, answer) in ANSWERS.iter() {
        let (api, host) = (answer.api.as_ref(), answer.self_hosted.as_ref());
        let (api, host) = (api.unwrap(), host.unwrap());
        let parts = answer.view.api_parts.unwrap();
        near(
            parts.uncached_usd + parts.read_usd + parts.written_usd,
            api.input_usd_per_month,
        );
        near(
            parts.router_usd + parts.fixed_usd + parts.shared_usd,
            api.other_usd_per_month,
        );
        near(parts.output_usd, api.output_usd_per_month);
        let parts = answer.view.host_parts.unwrap();
        near(
            parts.working_usd + parts.idle_usd + parts.spare_usd,
            host.gpu_usd_per_month,
        );
        near(
            parts.running_usd + parts.one_off_usd + parts.egress_usd + parts.shared_usd,
            host.other_usd_per_month,
        );
        assert!(parts.idle_usd >= -1e-9, "{name}");
    }
}

#[test]
fn every_option_is_priced_at_every_volume() {
    for (name, answer) in ANSWERS.iter() {
        let view = &answer.view;
        assert_eq!(view.options.len(), 2 + answer.alternatives.len(), "{name}");
        for option in &view.options {
            assert_eq!(option.at.len(), view.volumes.len(), "{name}");
            for at in &option.at {
                let ends = at.p5_usd_per_month.zip(at.p95_usd_per_month);
                assert!(ends.is_none_or(|(low, high)| low <= high), "{name} {at:?}");
            }
        }
        near(
            view.options[0].at[0].usd_per_month,
            answer.api.as_ref().unwrap().usd_per_month,
        );
        for (option, other) in view.options[2..].iter().zip(&answer.alternatives) {
            near(option.at[0].usd_per_month, other.usd_per_month);
        }
        // Where self-hosting begins to pay for good, both sides cost the same.
        if answer.break_even.as_ref().unwrap().exists {
            let last = view.volumes.len() - 1;
            near(
                view.options[1].at[last].usd_per_month,
                view.options[0].at[last].usd_per_month,
            );
        }
    }
}

#[test]
fn an_option_is_drawn_in_what_it_shares_alone() {
    let answer = ready("guide-chatbot");
    let option = |name: &str| {
        let mut options = answer.view.options.iter();
        let found = options.find(|option| option.name.as_deref() == Some(name));
        found.unwrap().at[0]
    };
    // Its rate is its own, its fleet has one replica in every draw: nothing moves it.
    let own_rate = option("A100 on demand at AWS");
    assert_eq!(own_rate.p5_usd_per_month, own_rate.p95_usd_per_month);
    // The same rate as today and an engineer on top: the range of today, moved.
    let staffed = option("with a quarter of an engineer");
    let today = answer.view.options[1].at[0];
    let moved = staffed.p95_usd_per_month.unwrap() - today.p95_usd_per_month.unwrap();
    assert!((moved - 4_166.67).abs() < 100.0, "{moved}");
}

#[test]
fn the_band_holds_the_bill_and_keeps_its_order() {
    let answer = ready("bursty");
    let band = &answer.view.band;
    assert!(band.len() > 40);
    assert!(band.is_sorted_by(|a, b| a.requests_per_month < b.requests_per_month));
    for at in band {
        assert!(at.api_usd[0] <= at.api_usd[1]);
        assert!(at.self_hosted_usd[0] <= at.self_hosted_usd[1]);
    }
}

#[test]
fn common_claims_are_held_against_the_numbers() {
    let text = to_markdown(ready("guide-chatbot"));
    let claims = text.split("## Common claims").nth(1).unwrap();
    for number in [
        // Input is 76.9 % of the tokens and 45.45 % of the cost.
        "76.9\u{a0}%",
        "45.5\u{a0}%",
        // A prompt of 4,000 tokens: 3.5 times, 2.09 with 99 % read from the cache.
        "by 3.5, or by 2.09",
        // 70 % to a model 16.67 times cheaper: 2.92 times, 3.33 at most; five times takes 85.1 %.
        "16.67×",
        "2.92×",
        "3.33×",
        "85.1\u{a0}%",
        // Two A100 at batch 8, and what 750 output tokens per second imply.
        "at most 235",
        "2,500 input tokens/s",
        // 5,000 to 15,000 USD: 0.127 to 0.727 engineers.
        "0.127 to 0.727",
        "8.08\u{a0}%",
        "DeepInfra never",
    ] {
        assert!(claims.contains(number), "{number} in {claims}");
    }
}

#[test]
fn every_method_stands_in_the_table_and_the_one_that_bills_twice_is_marked() {
    let text = to_markdown(ready("bursty"));
    let part = text.split("## USD per million tokens").nth(1).unwrap();
    let part = part.split("\n## ").next().unwrap();
    for method in [
        "| A ", "| B ", "| C ", "| C' ", "| D ", "| E ", "| F ", "| G ",
    ] {
        assert_eq!(part.matches(method).count(), 1, "{method}");
    }
    assert_eq!(part.matches("NO: BILLS TWICE").count(), 1);
}

#[test]
fn a_study_of_several_lengths_prices_one_more_token() {
    let text = "[traffic]\nrequests_per_day = 10_000\nuser_tokens = 500\noutput_tokens = 150\n[api]\ninput_usd_per_mtok = 2\noutput_usd_per_mtok = 10\n[self_hosted]\nusd_per_gpu_hour = 3.60\ngpus_per_replica = 1\nresults = \"lengths\"\n";
    let report = to_markdown(&solve(text));
    let row = report
        .lines()
        .find(|line| line.starts_with("| G "))
        .unwrap();
    // 0.001 USD a second: 1 USD per million input tokens and 10 per million output tokens.
    assert!(row.contains("| $1.00 | $10.00 |"), "{row}");
    assert!(
        row.contains("3 pairs of lengths") && row.contains("0.05 s besides"),
        "{row}"
    );
}

#[test]
fn what_pays_at_any_volume_or_at_none_is_said_without_empty_numbers() {
    let guide = scenario("guide-chatbot");
    let fee = guide.replace(
        "[api]\nmodel = \"gpt-4o\"",
        "[api]\nmodel = \"gpt-4o\"\nfixed_usd_per_month = 5_000",
    );
    let always = to_markdown(&solve(&fee));
    assert!(always.contains("**any volume**"), "{always}");
    assert!(!always.contains("0.00×") && !always.contains("falls under 0 "));
    let free = guide.replace(
        "[api]\nmodel = \"gpt-4o\"",
        "[api]\ninput_usd_per_mtok = 0\noutput_usd_per_mtok = 0",
    );
    let never = to_markdown(&solve(&free));
    assert!(never.contains("none, whatever the cards cost"), "{never}");
    assert!(!never.contains("less than —") && !never.contains("under —"));
}

#[test]
fn what_pays_at_small_volumes_alone_is_said_to() {
    let cheap = scenario("guide-chatbot").replace(
        "[api]\nmodel = \"gpt-4o\"",
        "[api]\ninput_usd_per_mtok = 0.01\noutput_usd_per_mtok = 0.01\nfixed_usd_per_month = 5_000",
    );
    let text = to_markdown(&solve(&cheap));
    let row = text
        .lines()
        .find(|line| line.starts_with("| best for"))
        .unwrap();
    assert!(
        row.contains("above ") && row.contains("only volumes under "),
        "{row}"
    );
}

#[test]
fn a_price_that_may_fall_is_not_said_to_rise() {
    let text = to_markdown(ready("guide-rag-10-chunks"));
    assert!(
        text.contains("flips when they fall under 0.63 times"),
        "{text}"
    );
    let text = to_markdown(ready("guide-chatbot"));
    assert!(
        text.contains("flips when they rise above 3.49 times"),
        "{text}"
    );
}

#[test]
fn the_very_same_model_decides_whether_the_hosting_bill_does() {
    let text = to_markdown(ready("guide-rag-10-chunks"));
    let claim = "| self-hosting wins once the API bill passes the hosting bill | no |";
    assert!(text.contains(claim), "{text}");
}

#[test]
fn break_evens_of_fewer_draws_are_said_to_be() {
    let hours = ["1"; 23].join(", ");
    let text = format!(
        "[traffic]\nrequests_per_day = 10_000_000\nuser_tokens = 500\noutput_tokens = 150\nhourly = [{hours}, 3]\n[api]\nmodel = \"gpt-4o\"\n[self_hosted]\nusd_per_gpu_hour = 2\noutput_tokens_per_second = 750\nfleet = \"autoscaled\"\n[uncertainty]\ndraws = 2_000\n[[uncertainty.input]]\nkey = \"self_hosted.usd_per_gpu_hour\"\ndistribution = \"uniform\"\nlow = 1\nhigh = 3\n"
    );
    let hourly = to_markdown(&solve(&text));
    assert!(
        hourly.contains("those of the first 1,000 draws"),
        "{hourly}"
    );
    let fixed = to_markdown(&solve(&text.replace("autoscaled", "static")));
    assert!(!fixed.contains("those of the first"));
}

#[test]
fn the_age_of_the_prices_is_that_of_the_oldest() {
    let text = to_markdown(ready("bursty"));
    assert!(text.contains("the oldest was read on 2026-09-25"), "{text}");
}

#[test]
fn a_long_address_breaks_instead_of_pushing_its_table_off_the_page() {
    let html = to_html(ready("tiny-breakeven"));
    assert!(html.contains("<td class=\"long\">https://github.com/skypilot-org/"));
}

#[test]
fn the_crossings_are_marked_and_the_first_and_the_last_are_labelled() {
    let html = to_html(ready("bursty"));
    let picture = html
        .split("<title>Monthly cost against volume</title>")
        .nth(1)
        .unwrap();
    let picture = picture.split("</svg>").next().unwrap();
    assert!(picture.contains("crossings (3)"));
    assert_eq!(
        picture.matches("<circle").count(),
        4,
        "three and the legend"
    );
    assert!(picture.contains("first: 6.78 M") && picture.contains("for good: 7.67 M"));
    assert_eq!(
        picture.matches("class=\"band s1\"").count(),
        2,
        "the band and its legend"
    );
}

#[test]
fn a_report_of_a_tiny_model_says_that_it_is_no_advice() {
    let text = to_markdown(ready("tiny-breakeven"));
    let page_one = text.split("# For the engineer").next().unwrap();
    assert!(
        page_one.contains("A demonstration, not advice"),
        "{page_one}"
    );
    assert!(page_one.contains("cpu-2vcpu"), "{page_one}");
    assert!(
        text.contains("The rates are measured: q4_k in batches of 4"),
        "{text}"
    );
    // A machine that is no card of the catalog has no memory table and no bandwidth.
    assert!(!text.contains("## Memory") && !text.contains("## Quantization"));
    for name in ["bursty", "guide-chatbot"] {
        assert!(!to_markdown(ready(name)).contains("A demonstration"));
    }
}
