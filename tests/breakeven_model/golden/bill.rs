//! Bills of the API side.

use super::super::fixture::{Book, Files, close, solve};
use super::{CHAT, GPT, Table, api};
use mtok::catalog::Catalog;
use mtok::catalog::book::PriceBook as _;
use mtok::cost::bill::share_needed;
use mtok::cost::conversation::{Role, calls};
use mtok::cost::memory::GIB;
use mtok::cost::resolve::{Sources, resolve};
use mtok::cost::scenario::Document;
use mtok::cost::traffic::Demand;
use mtok::units::{Tokens, UsdPerMtok};

pub(super) fn g1_the_api_bill() -> Table {
    let mut table = Table::default();
    let bill = api(CHAT, GPT);
    table.put("g1.input_usd", bill.input_usd_per_month);
    table.put("g1.output_usd", bill.output_usd_per_month);
    table.put("g1.total_usd", bill.usd_per_month);
    table.put("g1.usd_per_request", bill.usd_per_request);
    table.put("g1.blended_usd_per_M", bill.blended_usd_per_mtok);
    let tokens = bill.input_tokens_per_request + bill.output_tokens_per_request;
    table.put(
        "g1.input_token_share",
        bill.input_tokens_per_request / tokens,
    );
    table.put(
        "g1.input_cost_share",
        bill.input_usd_per_month / bill.usd_per_month,
    );
    for price in ["2.5", "10"] {
        let one = format!("input_usd_per_mtok = {price}\noutput_usd_per_mtok = {price}");
        let key = format!("g1.one_price_{price}");
        table.put(key, api(CHAT, &one).usd_per_month);
    }
    // The index of other lists of prices: three input tokens to one output token.
    let index = (UsdPerMtok::new(2.5) * 3.0 + UsdPerMtok::new(10.0)) / 4.0;
    let monthly = (index * Tokens::new(300_000.0 * tokens)).value();
    table.put("g1.aa_3to1_usd_per_M", index.value());
    table.put("g1.aa_3to1_monthly", monthly);
    table.put(
        "g1.aa_error_pct",
        (monthly / bill.usd_per_month - 1.0) * 100.0,
    );
    for (name, input, output) in [
        ("chat_500_150", 500, 150),
        ("rag_5500_150", 5_500, 150),
        ("reason_1000_8000", 1_000, 8_000),
        ("even_1_1", 1_000, 1_000),
    ] {
        let mix = format!("user_tokens = {input}\noutput_tokens = {output}");
        let blend = api(&mix, GPT).blended_usd_per_mtok.unwrap();
        table.put(format!("g1.true_blend.{name}"), blend);
        table.put(
            format!("g1.aa_over_true_pct.{name}"),
            (index.value() / blend - 1.0) * 100.0,
        );
    }
    // At the same price per token, input costs as much as output where it is this long.
    let parity =
        bill.input_tokens_per_request * bill.output_usd_per_month / bill.input_usd_per_month;
    table.put("g1.input_parity_tokens", parity);
    let even = api(&format!("user_tokens = {parity}\noutput_tokens = 150"), GPT);
    close(even.input_usd_per_month, even.output_usd_per_month);
    table
}

/// The price of a model of the bundled catalog over that of gpt-4o.
fn times_cheaper(model: &str) -> (f64, f64) {
    let catalog = Catalog::bundled();
    let of = |name: &str| catalog.api(name).unwrap().prices;
    let (dear, cheap) = (of("gpt-4o"), of(model));
    let ratio = |a, b| f64::try_from(a).unwrap() / f64::try_from(b).unwrap();
    (
        ratio(dear.input_usd_per_mtok, cheap.input_usd_per_mtok),
        ratio(dear.output_usd_per_mtok, cheap.output_usd_per_mtok),
    )
}

pub(super) fn g5_routing_saves_less_than_its_share() -> Table {
    let mut table = Table::default();
    for (key, times) in [("10", 10.0), ("16.67", 50.0 / 3.0), ("20", 20.0)] {
        let route = format!(
            "{GPT}\n[[api.route]]\nshare = 0.7\ninput_usd_per_mtok = {}\noutput_usd_per_mtok = {}",
            2.5 / times,
            10.0 / times
        );
        let factor = api(CHAT, &route).usd_per_month / 825.0;
        table.put(format!("g5.factor_r{key}"), factor);
        table.put(format!("g5.saving_x_r{key}"), 1.0 / factor);
    }
    let mini = "model = \"gpt-4o\"\n[[api.route]]\nshare = 0.7\nmodel = \"gpt-4o-mini\"";
    table.put("g5.seed_monthly_router", api(CHAT, mini).usd_per_month);
    let free = format!(
        "{GPT}\n[[api.route]]\nshare = 0.7\ninput_usd_per_mtok = 0\noutput_usd_per_mtok = 0"
    );
    table.put("g5.limit_x", 825.0 / api(CHAT, &free).usd_per_month);
    let (input, output) = times_cheaper("gpt-4o-mini");
    table.put("g5.gpt4o_mini_ratio_in", input);
    table.put("g5.gpt4o_mini_ratio_out", output);
    for (n, key) in [(5.0, "5x"), (10.0, "10x")] {
        table.put(
            format!("g5.share_needed_{key}_r16.67"),
            share_needed(n, input),
        );
        table.put(format!("g5.share_needed_{key}_r20"), share_needed(n, 20.0));
    }
    assert_eq!(share_needed(5.0, 4.0), None);
    let cascade = "model = \"gpt-4o\"\n[[api.route]]\npolicy = \"cascade\"\nescalation = 0.3\nmodel = \"gpt-4o-mini\"";
    table.put(
        "g5.cascade_small_all_30pct_escalate_r16.67",
        api(CHAT, cascade).usd_per_month / 825.0,
    );
    let (input, output) = times_cheaper("claude-haiku-4-5");
    table.put("g5.haiku45_vs_4o_in", input);
    table.put("g5.haiku45_vs_4o_out", output);
    // The third generation is no longer listed: its last prices stand in the scenario.
    let old = api(
        CHAT,
        "input_usd_per_mtok = 0.25\noutput_usd_per_mtok = 1.25",
    );
    let new = api(CHAT, "model = \"gpt-4o\"");
    table.put(
        "g5.haiku3_vs_4o_in",
        new.input_usd_per_month / old.input_usd_per_month,
    );
    table.put(
        "g5.haiku3_vs_4o_out",
        new.output_usd_per_month / old.output_usd_per_month,
    );
    table
}

pub(super) fn g6_retrieval_and_the_system_prompt() -> Table {
    let mut table = Table::default();
    let chunks = |k: u32| format!("{CHAT}\nretrieval = {{ chunks = {k}, tokens_per_chunk = 500 }}");
    let (ten, three) = (api(&chunks(10), GPT), api(&chunks(3), GPT));
    let none = api(CHAT, GPT).usd_per_month;
    table.put("g6.rag_k10_extra", ten.usd_per_month - none);
    table.put("g6.rag_k10_total", ten.usd_per_month);
    table.put("g6.rag_k10_multiple", ten.usd_per_month / none);
    table.put("g6.rag_k3_extra", three.usd_per_month - none);
    table.put("g6.rag_k3_total", three.usd_per_month);
    table.put(
        "g6.saving_k10_to_k3",
        ten.usd_per_month - three.usd_per_month,
    );
    table.put(
        "g6.saving_pct",
        (1.0 - three.usd_per_month / ten.usd_per_month) * 100.0,
    );
    table.put(
        "g6.rag_input_cost_share",
        ten.input_usd_per_month / ten.usd_per_month,
    );
    let system =
        |tokens: u32| CHAT.replace("system_tokens = 200", &format!("system_tokens = {tokens}"));
    let (small, large) = (api(&system(500), GPT), api(&system(4_000), GPT));
    table.put("g6.sys500_total", small.usd_per_month);
    table.put("g6.sys4000_total", large.usd_per_month);
    table.put("g6.sys_ratio", large.usd_per_month / small.usd_per_month);
    table.put(
        "g6.sys_input_ratio",
        large.input_usd_per_month / small.input_usd_per_month,
    );
    // The long prompt costs exactly twice the short one where this line crosses zero.
    let excess = |other: f64| {
        let bill = |system: u32| {
            let mix =
                format!("system_tokens = {system}\nuser_tokens = {other}\noutput_tokens = 150");
            api(&mix, GPT).usd_per_month
        };
        bill(4_000) - 2.0 * bill(500)
    };
    let (at_none, at_thousand) = (excess(0.0), excess(1_000.0));
    table.put(
        "g6.other_input_tokens_for_exact_doubling",
        1_000.0 * at_none / (at_none - at_thousand),
    );
    let cached = format!("{}\ncache = {{ prefix_hit_rate = 0.99 }}", system(4_000));
    table.put(
        "g6.sys4000_gpt4o_cache_hit99_total",
        api(&cached, "model = \"gpt-4o\"").usd_per_month,
    );
    let cheap = format!("{GPT}\ncached_input_usd_per_mtok = 0.25");
    table.put(
        "g6.sys4000_0.1x_cache_hit99_total",
        api(&cached, &cheap).usd_per_month,
    );
    table
}

pub(super) fn g7_embeddings_cost_next_to_nothing() -> Table {
    let mut table = Table::default();
    let text = |requests: u32, rest: &str| {
        format!(
            "[traffic]\nrequests_per_month = {requests}\nuser_tokens = 500\noutput_tokens = 150\n[traffic.retrieval]\nembedding = \"text-embedding-3-small\"\n{rest}\n[api]\n{GPT}\n"
        )
    };
    let queries = solve(&text(1_000_000, ""));
    table.put("g7.query_embed", queries.shared.usd_per_month);
    let api = queries.api.unwrap();
    table.put(
        "g7.llm_for_1M_rag_requests",
        api.input_usd_per_month + api.output_usd_per_month,
    );
    table.put(
        "g7.embed_share_pct",
        queries.shared.usd_per_month / api.usd_per_month * 100.0,
    );
    table.put(
        "g7.query_embed_300k",
        solve(&text(300_000, "")).shared.usd_per_month,
    );
    let indexed = |rest: &str| {
        let rest =
            format!("query_tokens = 0\nindex_chunks = 1_000_000\nreindex_months = 1\n{rest}");
        text(300_000, &rest)
    };
    let index = |rest: &str| solve(&indexed(rest)).shared.usd_per_month;
    table.put("g7.index_1M_chunks_500tok", index(""));
    table.put(
        "g7.index_1M_chunks_500tok_10pct_overlap",
        index("overlap = 0.1"),
    );
    let store = index("store_usd_per_gb_month = 1") - index("");
    table.put("g7.vector_bytes_1536_f32", store * 1e9);
    table.put("g7.vector_gib", store * 1e9 / GIB);
    let large = indexed("").replace("3-small", "3-large");
    table.put("g7.index_3_large", solve(&large).shared.usd_per_month);
    table
}

/// Dollars of one conversation of twenty turns.
fn conversation(keys: &str, cache: &str, api: &str) -> f64 {
    let text = format!(
        "[traffic]\nrequests_per_month = 20\nsystem_tokens = 200\ncache = {{ {cache} }}\n[traffic.conversation]\n{keys}\n[api]\nmodel = \"{api}\"\n"
    );
    solve(&text).api.unwrap().usd_per_month
}

/// The calls of a conversation, and its turns.
fn demand(keys: &str, limits: &str) -> Demand {
    let text = format!(
        "[traffic]\nrequests_per_month = 20\nsystem_tokens = 200\n{limits}\n[traffic.conversation]\n{keys}\n"
    );
    let document = Document::parse(&text).unwrap();
    let (book, files) = (Book::new(), Files::default());
    let sources = Sources {
        book: &book,
        evidence: &files,
    };
    resolve(&document, sources).unwrap().case.demand
}

/// Calls of a role, their input and their output over one conversation.
fn totals(demand: &Demand, role: Role) -> (f64, f64, f64) {
    let turns = demand.conversation.as_ref().unwrap().turns;
    calls(demand).iter().filter(|call| call.role == role).fold(
        (0.0, 0.0, 0.0),
        |(count, input, output), call| {
            let weight = call.weight * turns;
            (
                count + weight,
                input + weight * call.input,
                output + weight * call.output,
            )
        },
    )
}

pub(super) fn g8_conversations_by_policy() -> Table {
    let mut table = conversations_in_tokens();
    let off = "prefix_hit_rate = 0";
    table.put("g8.full_usd", conversation("", off, "gpt-4o"));
    table.put(
        "g8.window4_usd",
        conversation("policy = \"window\"", off, "gpt-4o"),
    );
    table.put(
        "g8.sum_usd_same_model",
        conversation("policy = \"summarize\"", off, "gpt-4o"),
    );
    let mini = "policy = \"summarize\"\nsummary_model = \"gpt-4o-mini\"";
    table.put(
        "g8.sum_usd_mini_summariser",
        conversation(mini, off, "gpt-4o"),
    );
    table.put(
        "g8.cached_gpt4o_usd(read0.5,write1.0,min1024)",
        conversation("", "", "gpt-4o"),
    );
    table.put(
        "g8.cached_sonnet55_usd(read0.05,write1.25,min512)",
        conversation("", "", "claude-sonnet-5-5"),
    );
    table.put(
        "g8.uncached_sonnet55_usd",
        conversation("", off, "claude-sonnet-5-5"),
    );
    table.put(
        "g8.window4_sonnet55_nocache_usd",
        conversation("policy = \"window\"", off, "claude-sonnet-5-5"),
    );
    let one = "[traffic]\nrequests_per_month = 20\nsystem_tokens = 200\nuser_tokens = 100\noutput_tokens = 150\n[api]\nmodel = \"gpt-4o\"\n";
    table.put("g8.one_shot_x20_usd", solve(one).api.unwrap().usd_per_month);
    table
}

/// The simulated turns stand for their closed forms as well.
fn conversations_in_tokens() -> Table {
    let mut table = Table::default();
    let input = |keys: &str, limits: &str| totals(&demand(keys, limits), Role::Answer).1;
    table.put("g8.full_in", input("", ""));
    table.put("g8.full_closed", input("", ""));
    table.put("g8.avg_in_per_turn", input("", "") / 20.0);
    for window in [1, 4, 8] {
        let keys = format!("policy = \"window\"\nwindow_turns = {window}");
        table.put(format!("g8.window{window}_in"), input(&keys, ""));
        table.put(format!("g8.window{window}_closed"), input(&keys, ""));
    }
    let summed = demand("policy = \"summarize\"", "");
    table.put("g8.sum_in", totals(&summed, Role::Answer).1);
    let (count, read, written) = totals(&summed, Role::Summary);
    table.put("g8.sum_calls", count);
    table.put("g8.sum_call_in", read);
    table.put("g8.sum_call_out", written);
    table.put(
        "g8.var_turns_E[T]=20_sd=15_full_in",
        input("turns_sd = 15", ""),
    );
    let limited = demand("", "session_token_limit = 32000\non_limit = \"reject\"");
    let (turns, read, _) = totals(&limited, Role::Answer);
    table.put("g8.session_cap_32000_tmax", turns);
    table.put("g8.full_in_15", read);
    table.put("g8.full_in_16", input("turns = 16", ""));
    table
}

pub(super) fn g9_the_prompt_cache_and_its_break_even() -> Table {
    let mut table = Table::default();
    // Prices of a write and of a read as multiples of 2 USD.
    let bill = |write: f64, read: f64, hit: f64| {
        let prices = format!(
            "input_usd_per_mtok = 2\noutput_usd_per_mtok = 10\ncached_input_usd_per_mtok = {}\ncache_write_usd_per_mtok = {}",
            2.0 * read,
            2.0 * write
        );
        let traffic = format!(
            "system_tokens = 4000\nuser_tokens = 300\noutput_tokens = 150\ncache = {{ prefix_hit_rate = {hit} }}"
        );
        api(&traffic, &prices).usd_per_month
    };
    table.put("g9.no_cache", bill(1.25, 0.05, 0.0));
    table.put("g9.hit0.9", bill(1.25, 0.05, 0.9));
    table.put("g9.hit0.99", bill(1.25, 0.05, 0.99));
    for (key, write, read) in [
        ("g9.breakeven_hit_write1.25_read0.05", 1.25, 0.05),
        ("g9.breakeven_hit_write1.25_read0.1", 1.25, 0.1),
        ("g9.breakeven_hit_write2_read0.1", 2.0, 0.1),
    ] {
        // Where there is a cache, the bill falls along a line, which meets the bill without one.
        let [without, low, high] = [0.0, 0.5, 1.0].map(|hit| bill(write, read, hit));
        table.put(key, 0.5 + 0.5 * (low - without) / (low - high));
    }
    table
}

pub(super) fn g20_discounts_compose() -> Table {
    let traffic = format!(
        "{CHAT}\nretries = 0.02\nbatch = {{ share = 0.3 }}\ncache = {{ semantic_hit_rate = 0.2, embedding = \"text-embedding-3-small\" }}"
    );
    let bill = api(&traffic, GPT);
    let mut table = Table::default();
    table.put(
        "g20.llm",
        bill.input_usd_per_month + bill.output_usd_per_month,
    );
    table.put("g20.sem_cache_embed", bill.other_usd_per_month);
    table.put("g20.total", bill.usd_per_month);
    table
}

pub(super) fn g21_cheaper_hours() -> Table {
    let text = "[traffic]\nrequests_per_month = 1\nuser_tokens = 1_000_000\noutput_tokens = 1_000_000\n[api]\nmodel = \"deepseek-v4-flash\"\n";
    let bill = solve(text).api.unwrap();
    let mut table = Table::default();
    table.put("g21.v4flash_in_eff", bill.input_usd_per_month);
    table.put("g21.v4flash_out_eff", bill.output_usd_per_month);
    table.put("g21.uniform_multiplier", bill.input_usd_per_month / 0.3);
    table
}
