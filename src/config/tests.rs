use std::ffi::OsString;
use std::io::Write;

use super::*;
use crate::adapter::Auth;
use crate::adapter::channel::CommonSettings;
use crate::adapter::sandbox::{Arrival, StandIn, StandInAnswer};
use crate::providers::REGISTRY;

/// A secret that no fault may show.
const CANARY: &str = "hunter2canary";

/// A provider with a number, a secret and a nested secret of its own. Its channels cannot be built, so that
/// a sound one shows as the fault `built`.
const PROVIDERS: &[Provider] = &[provider("letters", build), provider("pigeons", build)];

const fn provider(name: &'static str, build: crate::adapter::channel::BuildChannel) -> Provider {
    Provider {
        name,
        defaults: r#"
            recipients_per_call = 10
            max_in_flight = 4
            connect_timeout_ms = 1000
            timeout_ms = 2000
            account = 1
            region = "north"
            query.version = "1"
        "#,
        account_keys: &["account"],
        most_recipients_per_call: 100,
        options: &[],
        build,
        sandbox: crate::adapter::sandbox::Sandbox {
            channel: "sandbox-x",
            settings: "",
            recipients: ("", ""),
            sender: "",
            build: || Box::new(Silent),
        },
    }
}

struct Silent;

impl StandIn for Silent {
    fn answer(&self, _: &Arrival<'_>, _: std::time::SystemTime) -> StandInAnswer {
        StandInAnswer::Drop
    }
}

fn build(
    common: &CommonSettings,
    fields: &mut Fields<'_>,
) -> Option<(Box<dyn crate::adapter::Adapter>, Auth)> {
    let account = fields.required_u64("account", 1..=99);
    let region = fields.required_filled_text("region");
    let secret = fields.required_filled_text("secret_key");
    let query = fields.object("query", |query| {
        let version = query.required_text("version");
        let sign = query.text("sign");
        Some((version?, sign))
    });
    let (account, region, secret, (version, sign)) = (account?, region?, secret?, query?);
    let lengths = (secret.len(), sign.map(|sign| sign.len()));
    let detail = format!(
        "{account} {region} {version} {lengths:?} {} {:?} {:?}",
        common.base_url, common.default_from, common.timeout
    );
    fields.fault_at("built", FaultCode::Conflict, detail);
    None
}

fn variables(given: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    given.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    match read("imcast.toml", text, variables(environment), PROVIDERS) {
        Ok(_) => Vec::new(),
        Err(error) => {
            assert!(!error.to_string().contains(CANARY), "{error}");
            assert!(!format!("{error:?}").contains(CANARY), "{error:?}");
            error.faults.iter().map(ToString::to_string).collect()
        }
    }
}

/// Every fault of `text`, in order, each given by how it begins.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = faults(text, &[]);
    let fits = |(found, expected): (&String, &&str)| found.starts_with(expected);
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(fits),
        "{text}\nfound: {found:#?}"
    );
}

fn channel(keys: &str) -> String {
    format!(
        "[channels.a]\nprovider = \"letters\"\nbase_url = \"https://x.test\"\nsecret_key = \"{CANARY}\"\n{keys}"
    )
}

#[test]
fn the_compiled_in_reference_is_complete_and_sound() {
    let settings = read("", "", [], PROVIDERS).ok().unwrap();
    assert!(settings.channels.is_empty());
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.delivery.max_attempts, 3);
    assert_eq!(settings.transport.answer_bytes, 1 << 20);
}

#[test]
fn callbacks_have_servers_and_keys() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let text = format!(
        "[callbacks]\nallowed_hosts = ['Hooks.Example', 'hooks.example:443', 'http://127.0.0.1:9000', '[::1]']\n\
         allow_private_addresses = true\nsecret = '{secret}'\nprevious_secret = '{secret}'\nretry_delays_ms = []"
    );
    let settings = read("", &text, [], PROVIDERS).ok().unwrap();
    let hosts = settings.callbacks.allowed_hosts.origins().iter();
    let hosts: Vec<_> = hosts.map(|origin| (origin.is_tls, &*origin.host, origin.port)).collect();
    assert_eq!(hosts, [(true, "hooks.example", 443), (false, "127.0.0.1", 9000), (true, "[::1]", 443)]);
    assert_eq!(settings.api.callback_hosts, settings.callbacks.allowed_hosts);
    assert_eq!(settings.callbacks.signing_keys.len(), 2);
    assert!(settings.callbacks.retry_delays.is_empty());
    assert!(!format!("{:?}", settings.callbacks).contains("MfKQ"));
    let settings = read("", "", [], PROVIDERS).ok().unwrap();
    assert!(settings.callbacks.allowed_hosts.origins().is_empty());
    assert_eq!(settings.callbacks.retry_delays.len(), 7);
}

/// Broken texts, each with the beginning of its one fault.
const BROKEN: &[(&str, &str)] = &[
    ("server = 3", "server: must be an object"),
    ("[callbacks]\nallowed_hosts = [\"hooks.example\"]", "callbacks.secret: is required where allowed_hosts"),
    (
        "[callbacks]\nprevious_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"",
        "callbacks.secret: is required where allowed_hosts",
    ),
    ("[callbacks]\nsecret = \"hunter2canary\"", "callbacks.secret: must be `whsec_` and 24 to 64 bytes"),
    ("[callbacks]\nprevious_secret = \"whsec_aGVsbG8=\"", "callbacks.previous_secret: must be `whsec_`"),
    ("[callbacks]\nallowed_hosts = \"hooks.example\"", "callbacks.allowed_hosts: must be an array"),
    ("[callbacks]\nallowed_hosts = [\"*.example\"]", "callbacks.allowed_hosts.0: must be a host as in"),
    ("[callbacks]\nallowed_hosts = [\"https://a.example/\"]", "callbacks.allowed_hosts.0: must be a host"),
    ("[callbacks]\nallowed_hosts = [\"ftp://a.example\"]", "callbacks.allowed_hosts.0: must be a host"),
    ("[callbacks]\nallowed_hosts = [\"127.1\"]", "callbacks.allowed_hosts.0: must be a host as in"),
    ("[callbacks]\nallowed_hosts = [\"0x7f.0x1\"]", "callbacks.allowed_hosts.0: must be a host as in"),
    ("[callbacks]\nallowed_hosts = [\"10.0.0.1\"]", "callbacks.allowed_hosts.0: is no public address"),
    ("[callbacks]\nallowed_hosts = [\"[::1]:80\"]", "callbacks.allowed_hosts.0: is no public address"),
    ("[callbacks]\nallowed_hosts = [\"[0:0::1]\"]", "callbacks.allowed_hosts.0: must be an IPv6 address in"),
    ("[callbacks]\ntimeout_ms = 30001", "callbacks.timeout_ms: must be a whole number from 1 to 30000"),
    ("[callbacks]\nretry_delays_ms = [5000, 0]", "callbacks.retry_delays_ms: must be at most 100 whole"),
    ("[callbacks]\nmax_in_flight_per_host = 0", "callbacks.max_in_flight_per_host: must be a whole number"),
    ("[server]\nlisten = \"localhost\"", "server.listen: must be an IP address and a port"),
    ("[server]\nlisten = \"\"", "server.listen: must be an IP"),
    ("[server]\nlisten = 8080", "server.listen: must be an IP"),
    ("[server]\nlisten = [\"a\"]", "server.listen: must be a string"),
    ("[server]\ninsecure = \"yes\"", "server.insecure: must be true or false"),
    ("[server]\ninsecure = 1", "server.insecure: must be true or false"),
    ("[server]\nmax_connections = 0", "server.max_connections: must be a whole number from 1"),
    ("[server]\nmax_connections = -1", "server.max_connections: must be a whole number from 1"),
    ("[server]\nmax_connections = nan", "server.max_connections: must be a whole number"),
    ("[server]\nidle_timeout_seconds = 1.5", "server.idle_timeout_seconds: must be a whole number from 1"),
    ("[server]\nfirst_bytes_timeout_ms = \"10s\"", "server.first_bytes_timeout_ms: must be a whole number"),
    ("[server]\nport = 80", "server.port: `port` is not a known field"),
    ("[shutdown]\ngrace_seconds = 99999", "shutdown.grace_seconds: must be a whole number from 0"),
    ("[shutdown]\ndrain_delay_seconds = true", "shutdown.drain_delay_seconds: must be a whole number"),
    ("[store]\nurl = \"mysql:x\"", "store.url: must be \"memory:\", \"sqlite:\""),
    ("[store]\nmemory_batches = \"many\"", "store.memory_batches: must be a whole number"),
    ("[store]\nmemory_byte = 1", "store.memory_byte: `memory_byte` is not a known field"),
    ("[delivery]\nmax_attempts = 11", "delivery.max_attempts: must be a whole number from 1 to 10"),
    ("[delivery]\nbudget_margin = 1.5", "delivery.budget_margin: must be from 0.5 to 1"),
    ("[delivery]\nbudget_margin = \"most\"", "delivery.budget_margin: must be a number"),
    ("[delivery]\nbudget_margin = inf", "delivery.budget_margin: must be a number"),
    ("[delivery]\nbackoff_cap_ms = 0", "delivery.backoff_cap_ms: must be a whole number"),
    ("[limits]\nbody_bytes = 99999999999999", "limits.body_bytes: must be a whole number"),
    ("[limits]\nroutes_per_batch = {}", "limits.routes_per_batch: must be a whole number"),
    ("[batches]\ndefault_wait_seconds = 26", "batches.default_wait_seconds: must be a whole number"),
    ("[transport]\nanswer_bytes = 1", "transport.answer_bytes: must be a whole number"),
    ("[log]\nformat = \"xml\"", "log.format: must be one of: text, json"),
    ("[log]\nlevel = \"loud\"", "log.level: must be one of: error, warn, info, debug, trace"),
    ("[sever]\nlisten = 1", "sever: `sever` is not a known field"),
    ("[[server]]\nlisten = 1", "server: must be an object"),
    ("\"a.b[0]\" = 1", "\"a.b[0]\": `a.b[0]` is not a known field"),
    ("keys = 1", "keys: must be an array of objects"),
    ("[keys]\nname = \"a\"", "keys: must be an array of objects"),
    ("channels = 1", "channels: must be an object"),
    ("[channels]\na = 1", "channels.a: must be an object"),
    ("[channels.a]", "channels.a.provider: `provider` is required: one of letters, pigeons"),
    ("[channels.a]\nprovider = \"crows\"", "channels.a.provider: must be one of: letters, pigeons"),
    ("[channels.a]\nprovider = 5\nother = 1", "channels.a.provider: must be one of: letters, pigeons"),
    ("[channels.a]\nprovider = []", "channels.a.provider: must be a string"),
];

#[test]
fn every_broken_value_names_its_key() {
    for (text, expected) in BROKEN {
        check(text, &[expected]);
    }
}

/// Broken keys of a channel, each with the beginning of its fault.
const BROKEN_CHANNEL: &[(&str, &str)] = &[
    ("acount = 5", "channels.a.acount: `acount` is not a known field"),
    ("account = \"one\"", "channels.a.account: must be a whole number"),
    ("account = 100", "channels.a.account: must be a whole number from 1 to 99"),
    ("region = \"\"", "channels.a.region: must not be empty"),
    ("recipients_per_call = 101", "channels.a.recipients_per_call: must be a whole number from 1 to 100"),
    ("recipients_per_call = 0", "channels.a.recipients_per_call: must be"),
    ("calls_per_second = 0", "channels.a.calls_per_second: must be from"),
    ("calls_per_second = \"fast\"", "channels.a.calls_per_second: must be a number"),
    ("messages_per_second = -5", "channels.a.messages_per_second: must be from"),
    ("max_in_flight = 0", "channels.a.max_in_flight: must be"),
    ("max_payload_bytes = 0", "channels.a.max_payload_bytes: must be"),
    ("connect_timeout_ms = 0", "channels.a.connect_timeout_ms: must be"),
    ("timeout_ms = 600001", "channels.a.timeout_ms: must be"),
    ("default_from = []", "channels.a.default_from: must be a string"),
    ("query.sig = 1", "channels.a.query.sig: `sig` is not a known field"),
    ("query.sign = {}", "channels.a.query.sign: must be a string"),
    ("region_file = 5", "channels.a.region_file: must be the path of a file"),
];

/// Broken fields of a key, each with the beginning of its one fault.
const BROKEN_KEY: &[(&str, &str)] = &[
    ("name = \"a b\"", "keys.1.name: must have 1 to 64 characters"),
    ("name = \"\"", "keys.1.name: must have 1 to 64 characters"),
    ("id = \"a.b\"", "keys.1.id: must be what stands between"),
    ("id = \"0\"", "keys.1.id: is the id of another key"),
    ("sha256 = \"imc_1.hunter2canary\"", "keys.1.sha256: must be the 64 hexadecimal digits"),
    ("sha256_file = \"/nonexistent/hunter2canary\"", "keys.1.sha256_file: the file cannot be read"),
    ("channels = \"a\"", "keys.1.channels: must be an array"),
    ("channels = [\"A_B\"]", "keys.1.channels: a channel's name has"),
    ("channels = [\"sandbox-x\", \"sandbox-y\"]", "keys.1.channels: no channel is named `sandbox-y`"),
    ("operator = \"perhaps\"", "keys.1.operator: must be true or false"),
    ("batches_per_second = 0", "keys.1.batches_per_second: must be a whole number from 1"),
    ("batches_per_second = 0.5", "keys.1.batches_per_second: must be a whole number"),
    ("recipients_per_minute = -1", "keys.1.recipients_per_minute: must be a whole number from 1"),
    ("name = \"zero\"\noperator = true", "keys.1: has other rights or quotas than the key of the same name"),
    ("chanels = []", "keys.1.chanels: `chanels` is not a known field"),
];

#[test]
fn every_broken_field_of_a_key_names_itself() {
    let digest = "5e".repeat(32);
    let zero = format!("[[keys]]\nname = 'zero'\nid = '0'\nsha256 = '{digest}'\n[[keys]]\n");
    for (broken, expected) in BROKEN_KEY {
        let others = [("name", "one"), ("id", "1"), ("sha256", &digest)];
        let others = others.iter().filter(|(name, _)| !broken.starts_with(name));
        let others: String = others.map(|(name, value)| format!("{name} = '{value}'\n")).collect();
        check(&format!("{zero}{others}{broken}"), &[expected]);
    }
    let one = format!("[[keys]]\nname = 'one'\nsha256 = '{digest}'\n");
    check(&one.repeat(2), &["keys.1.sha256: is that of another key"]);
    check("[[keys]]", &["keys.0.name: `name` is req", "keys.0.sha256: `sha256` is req"]);
}

#[test]
fn keys_are_read_with_their_rights() {
    let digest = file("5E".repeat(32).as_bytes());
    let text = format!(
        "[[keys]]\nname = 'billing'\nid = 'a1'\nsha256_file = {0:?}\nchannels = ['sandbox-x']\n\
         batches_per_second = 5\nrecipients_per_minute = 100\n[[keys]]\nname = 'ops'\nid = 'b2'\n\
         sha256_file = {0:?}\noperator = true\n[[keys]]\nname = 'ops'\nsha256 = '{1}'\noperator = true",
        digest.path(),
        "6f".repeat(32)
    );
    let keys = read("", &text, [], PROVIDERS).ok().unwrap().keys;
    let [billing, ops, next] = keys.as_slice() else { panic!("three keys") };
    assert_eq!(
        (&*billing.name, billing.id.as_deref(), billing.digest.to_string()),
        ("billing", Some("a1"), "5e".repeat(32))
    );
    assert_eq!((&*next.name, next.id.as_deref(), next.digest.to_string()), ("ops", None, "6f".repeat(32)));
    let channels: Vec<_> = billing.rights.channels.iter().flatten().map(ChannelName::as_str).collect();
    assert_eq!(channels, ["sandbox-x"]);
    assert_eq!(billing.rights.batches_per_second.map(|limit| limit.get()), Some(5));
    assert_eq!(billing.rights.recipients_per_minute.map(|limit| limit.get()), Some(100));
    assert!(ops.rights.is_operator && !billing.rights.is_operator && ops.rights.channels.is_none());
}

#[test]
fn an_account_is_called_the_same_on_every_replica_and_its_name_tells_no_secret() {
    let account = |keys: &str| {
        let table = tree::parse(&format!("[channels.a]\nprovider = 'letters'\n{keys}")).unwrap();
        Digests::of(&table, PROVIDERS).channels["a"].account()
    };
    let one = account("account = 1\nsecret_key = 'hunter2'\ntimeout_ms = 5");
    assert_eq!(account("account = 1\nsecret_key = 'hunter2'\ntimeout_ms = 6\ncalls_per_second = 7"), one);
    let other_login = account("account = 1\nsecret_key = 'hunter3'");
    assert_eq!(other_login.limits, one.limits);
    assert_ne!(other_login.login, one.login);
    assert_ne!(account("account = 2\nsecret_key = 'hunter2'").limits, one.limits);
    assert!(!format!("{one:?}").contains("hunter2"));
}

#[test]
fn every_broken_key_of_a_channel_names_itself_beside_the_sound_ones() {
    for (keys, expected) in BROKEN_CHANNEL {
        let mut found = faults(&channel(keys), &[]);
        found.retain(|fault| !fault.starts_with("channels.a.built"));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{keys}: {found:#?}");
    }
    for base_url in ["x.test", "ftp://x.test", "https://user@x.test", "https://x.test/?a=1", ""] {
        let text =
            format!("[channels.a]\nprovider = \"letters\"\nbase_url = \"{base_url}\"\nsecret_key = \"s\"");
        let found = faults(&text, &[]);
        assert!(found[0].starts_with("channels.a.base_url: must be"), "{base_url}: {found:#?}");
    }
}

#[test]
fn all_faults_are_listed_at_once() {
    check(
        r#"
            nope = 1
            [server]
            listen = "x"
            insecure = 7
            [log]
            level = "x"
            [channels.A_B]
            provider = "letters"
            [channels.b]
            provider = "crows"
            unseen = 1
            [channels.c]
            provider = "pigeons"
            timeout_ms = "soon"
            account = "one"
            extra = 1
        "#,
        &[
            "server.listen:",
            "server.insecure:",
            "log.level:",
            "channels.A_B: a channel's name has",
            "channels.A_B.base_url: `base_url` is required",
            "channels.A_B.secret_key: `secret_key` is required",
            "channels.b.provider: must be one of",
            "channels.c.base_url: `base_url` is required",
            "channels.c.timeout_ms:",
            "channels.c.account:",
            "channels.c.secret_key: `secret_key` is required",
            "channels.c.extra:",
            "nope:",
        ],
    );
}

#[test]
fn toml_faults_tell_the_place_and_never_the_text() {
    for (text, expected) in [
        (format!("secret_key = {CANARY}"), "imcast.toml: is not valid TOML at line 1, column"),
        (format!("secret_key = \"{CANARY}"), "imcast.toml: is not valid TOML at line 1, column"),
        (format!("a = 1\n{CANARY}"), "imcast.toml: is not valid TOML at line 2, column"),
        (format!("a = '{CANARY}' x"), "imcast.toml: is not valid TOML at line 1, column"),
        (format!("a = '{CANARY}'\na = 2"), "imcast.toml: is not valid TOML at line 2, column"),
        (format!("a = \"\\q{CANARY}\""), "imcast.toml: is not valid TOML at line 1, column"),
        ("a = 99999999999999999999".to_owned(), "imcast.toml: is not valid TOML"),
        ("[a".to_owned(), "imcast.toml: is not valid TOML at line 1"),
    ] {
        check(&text, &[expected]);
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let environment = [
        ("IMCAST__CHANNELS__MY_POST__TIMEOUT_MS", "3000"),
        ("IMCAST__CHANNELS__MY_POST__QUERY__SIGN", "abc"),
        ("IMCAST__CHANNELS__MY_POST__DEFAULT_FROM", "12"),
        ("IMCAST__LOG__LEVEL", "debug"),
        ("OTHER__LOG__LEVEL", "loud"),
        ("IMCAST_LOG", "loud"),
    ];
    let text = format!(
        "[channels.my-post]\nprovider = \"letters\"\nbase_url = \"https://x.test/a/\"\nsecret_key = \"{CANARY}\"\n\
         region = \"south\"\ntimeout_ms = 5"
    );
    let expected = "channels.my-post.built: 1 south 1 (13, Some(3)) https://x.test/a Some(\"12\") 3s";
    assert_eq!(faults(&text, &environment), [expected]);
}

#[test]
fn the_environment_wins_over_the_file_also_where_one_of_them_names_a_file() {
    let secret = file(b"four");
    let path = secret.path().to_str().unwrap();
    let rest = "[channels.a]\nprovider = \"letters\"\nbase_url = \"https://x.test\"\n";
    let built = |secret_bytes: usize| {
        vec![format!("channels.a.built: 1 north 1 ({secret_bytes}, None) https://x.test/ None 2s")]
    };
    let text = format!("{rest}secret_key = \"{CANARY}\"");
    assert_eq!(faults(&text, &[("IMCAST__CHANNELS__A__SECRET_KEY_FILE", path)]), built(4));
    let text = format!("{rest}secret_key_file = \"/nonexistent\"");
    assert_eq!(faults(&text, &[("IMCAST__CHANNELS__A__SECRET_KEY", "five5")]), built(5));
}

#[test]
fn a_channel_can_come_from_the_environment_alone() {
    let environment = [
        ("IMCAST__CHANNELS__P__PROVIDER", "pigeons"),
        ("IMCAST__CHANNELS__P__BASE_URL", "http://10.0.0.1:80"),
        ("IMCAST__CHANNELS__P__SECRET_KEY", CANARY),
        ("IMCAST__CHANNELS__P__ACCOUNT", "42"),
    ];
    let expected = "channels.p.built: 42 north 1 (13, None) http://10.0.0.1:80/ None 2s";
    assert_eq!(faults("", &environment), [expected]);
}

#[test]
fn unusable_variables_are_named() {
    let deep = format!("IMCAST__{}", vec!["A"; 500].join("__"));
    let environment = [
        ("IMCAST__", "x"),
        ("IMCAST__A____B", "x"),
        ("IMCAST__LOG", "x"),
        ("IMCAST__LOG__LEVEL", "info"),
        (deep.as_str(), "x"),
    ];
    let found = faults("", &environment);
    let names: Vec<_> = found.iter().map(|fault| fault.split(':').next().unwrap()).collect();
    let expected = ["IMCAST__", &deep, "IMCAST__A____B", "IMCAST__LOG__LEVEL"];
    assert_eq!(names, expected, "{found:#?}");
    let not_utf8 = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
    let given = [(OsString::from("IMCAST__LOG__LEVEL"), not_utf8)];
    let error = read("", "", given, PROVIDERS).err().unwrap();
    assert_eq!(error.faults, [SettingFault::new("IMCAST__LOG__LEVEL", "is not UTF-8")]);
}

fn file(contents: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(contents).unwrap();
    file
}

#[test]
fn any_value_can_come_from_a_file() {
    let secret = file(b"four\r\n\n");
    let account = file(b"17\n");
    let sign = file(b"a b ");
    let text = format!(
        "[channels.a]\nprovider = \"letters\"\nbase_url = \"https://x.test\"\nsecret_key_file = {:?}\n\
         account_file = {:?}\nquery.sign_file = {:?}",
        secret.path(),
        account.path(),
        sign.path()
    );
    let expected = "channels.a.built: 17 north 1 (4, Some(4)) https://x.test/ None 2s";
    assert_eq!(faults(&text, &[]), [expected]);
}

#[test]
fn a_file_that_cannot_be_used_is_the_only_fault_of_its_key() {
    let large = file(&vec![b'x'; 70_000]);
    let binary = file(&[0xff, 0xfe]);
    let paths = [
        (format!("/nonexistent/{CANARY}"), "the file cannot be read: No such file"),
        ("/".to_owned(), "the file cannot be read"),
        (large.path().display().to_string(), "the file has more than 65536 bytes"),
        (binary.path().display().to_string(), "the file is not UTF-8"),
    ];
    for (path, detail) in paths {
        let text = format!(
            "[channels.a]\nprovider = \"letters\"\nbase_url = \"https://x.test\"\nsecret_key_file = \"{path}\""
        );
        check(&text, &[&format!("channels.a.secret_key_file: {detail}")]);
    }
}

#[test]
fn a_value_and_its_file_contradict_each_other() {
    let secret = file(b"other");
    let text = channel(&format!("secret_key_file = {:?}", secret.path()));
    let found = faults(&text, &[]);
    assert!(found[0].starts_with("channels.a.secret_key_file: is given besides `secret_key`"), "{found:#?}");
}

#[test]
fn an_explicit_file_must_exist_and_the_default_one_need_not() {
    let missing = Path::new("/nonexistent/imcast.toml");
    let error = load(Some(missing), [], PROVIDERS).err().unwrap();
    assert!(error.to_string().contains("/nonexistent/imcast.toml: cannot be read"), "{error}");
    let given = file(b"[log]\nlevel = \"trace\"\n");
    let settings = load(Some(given.path()), [], PROVIDERS).ok().unwrap();
    assert_eq!(settings.log.level, tracing::Level::TRACE);
}

#[test]
fn only_plain_http_to_other_machines_is_warned_about() {
    for (url, expected) in [
        ("http://10.0.0.1", true),
        ("http://relay.example.com:8080/x", true),
        ("https://relay.example.com", false),
        ("http://localhost:1", false),
        ("http://127.0.0.9", false),
        ("http://[::1]:80", false),
        ("http://localhost.example.com", true),
    ] {
        let url = url.parse().unwrap();
        assert_eq!(channels::is_readable_on_the_way(&url), expected, "{url}");
    }
}

#[test]
fn providers_have_sound_defaults_of_their_own() {
    for provider in REGISTRY {
        let table = tree::parse(provider.defaults).unwrap();
        assert!(!table.contains_key("provider"), "{}", provider.name);
        assert!(!table.keys().any(|key| key.ends_with("_file")), "{}", provider.name);
    }
}

#[test]
fn the_example_is_sound_once_its_secrets_exist() {
    const EXAMPLE: &str = include_str!("../../config/example.toml");
    let folder = tempfile::tempdir().unwrap();
    for piece in EXAMPLE.split("\"/run/secrets/").skip(1) {
        let name = piece.split('"').next().unwrap();
        std::fs::write(folder.path().join(name), format!("{CANARY}\n")).unwrap();
    }
    let text = EXAMPLE.replace("/run/secrets", &folder.path().display().to_string());
    let settings = read("example.toml", &text, [], REGISTRY).unwrap_or_else(|error| panic!("{error}"));
    let mut used: Vec<_> = settings.channels.iter().map(|(_, channel)| channel.provider).collect();
    used.sort_unstable();
    let known: Vec<_> = REGISTRY.iter().map(|provider| provider.name).collect();
    assert_eq!(used, known);
    assert_eq!(settings.warnings(), []);
    let without_files = read("example.toml", EXAMPLE, [], REGISTRY).err().unwrap();
    let is_missing = |fault: &SettingFault| fault.key.ends_with("_file");
    assert!(without_files.faults.iter().all(is_missing), "{without_files}");
}
