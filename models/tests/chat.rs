//! Do chat templates give the text that Transformers would?

mod common;

use std::fs;
use std::path::Path;

use common::{copy_of, examples};
use models::ModelDir;
use serde_json::{Value, json};

/// A model directory with this tokenizer configuration.
fn model(config: &Value) -> (tempfile::TempDir, ModelDir) {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    let model = ModelDir::open_shape(dir.path()).unwrap();
    (dir, model)
}

/// What a template makes of a chat, or why not.
fn rendered(template: &str, system: Option<&str>, user: &str) -> Result<String, String> {
    let (_dir, model) = model(&json!({
        "chat_template": template,
        "bos_token": "<s>",
        "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": false},
    }));
    let today = "2026-07-04".parse().unwrap();
    let template = model.chat_template().map_err(|error| error.to_string())?;
    template.render(system, user, today).map_err(|error| error.to_string())
}

/// As [`rendered`], for a user who says `hi`.
fn of(template: &str) -> Result<String, String> {
    rendered(template, None, "hi")
}

const CHATML: &str = "{% for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
{%- endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
";

#[test]
fn are_messages_written_as_the_template_says() {
    let wanted = "<|im_start|>user\na < b & 'c'<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(rendered(CHATML, None, "a < b & 'c'").unwrap(), wanted);
    let wanted = format!("<|im_start|>system\nBe brief.<|im_end|>\n{wanted}");
    assert_eq!(rendered(CHATML, Some("Be brief."), "a < b & 'c'").unwrap(), wanted);
    // In the manner of Llama 2: the system message stands inside the user's; slices, methods, namespaces.
    let llama = "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}\
        {% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}\
        {% set system_message = false %}{% endif %}{% set ns = namespace(n=0) %}\
        {% for message in loop_messages %}{% set ns.n = ns.n + 1 %}\
        {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
        {{ raise_exception('Roles must alternate') }}{% endif %}\
        {% if loop.index0 == 0 and system_message != false %}\
        {% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}\
        {% else %}{% set content = message['content'] %}{% endif %}\
        {{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{{ ns.n }}{% endfor %}";
    assert_eq!(rendered(llama, None, " x ").unwrap(), "<s>[INST] x [/INST]1");
    let wanted = "<s>[INST] <<SYS>>\ns\n<</SYS>>\n\nx [/INST]1";
    assert_eq!(rendered(llama, Some("s"), "x").unwrap(), wanted);
}

#[test]
fn is_there_what_transformers_gives_templates() {
    assert_eq!(of("{{ bos_token }}{{ eos_token }}{{ pad_token }}").unwrap(), "<s></s>");
    assert_eq!(of("{{ strftime_now('%d %b %Y') }}").unwrap(), "04 Jul 2026");
    assert_eq!(
        of("{{ tools is none }} {{ documents is none }} {{ x is defined }}").unwrap(),
        "True True False"
    );
    let json = "{{ messages | tojson }}{{ {'a': [1, 2.5, none, true], 'b': '<é\"'} | tojson(ensure_ascii=False) }}";
    let wanted = "[{\"role\": \"user\", \"content\": \"hi\"}]{\"a\": [1, 2.5, null, true], \"b\": \"<é\\\"\"}";
    assert_eq!(of(json).unwrap(), wanted);
    assert_eq!(of("{{ [1] | tojson(indent=2) }}").unwrap(), "[\n  1\n]");
    assert_eq!(
        of("{% for n in range(9) %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}")
            .unwrap(),
        "01"
    );
    let open = "a{%- generation -%} b {%- endgeneration %}c{% generation";
    assert!(of(open).unwrap_err().contains("line"));
    assert_eq!(of("a{% generation %} b {%- endgeneration %} c").unwrap(), "a b c");
    let methods = "{{ 'A b'.lower().split(' ')[1].startswith('b') }}{{ messages[0].get('name', 'x') }}\
        {% for k, v in messages[0].items() %}{{ k }}{% endfor %}{{ 'a'.replace('a', 'b') }}";
    assert_eq!(of(methods).unwrap(), "Truexrolecontentb");
    // Blocks take their line with them.
    assert_eq!(of("  {% if true %}\nx\n  {% endif %}\ny").unwrap(), "x\ny");
}

#[test]
fn are_values_methods_and_white_space_written_as_by_jinja2() {
    // The text is that of jinja2 3.1.6, set up as Transformers does it.
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chat");
    let read = |name| fs::read_to_string(data.join(name)).unwrap();
    let told = rendered(&read("python.jinja"), None, " hi <b> & 'x'\n").unwrap();
    assert_eq!(told, read("python.txt"));
}

#[test]
fn does_a_template_that_refuses_or_breaks_say_so() {
    let refused = of("{{ raise_exception('System role not supported') }}").unwrap_err();
    assert!(refused.contains("tokenizer_config.json: the chat template refuses the messages: System role not supported"), "{refused}");
    let broken = of("a\n{% if %}").unwrap_err();
    assert!(broken.contains("cannot be rendered") && broken.contains("(line 2)"), "{broken}");
    assert!(of("{{ nothing.at.all }}").unwrap_err().contains("undefined"));
    assert!(of("{{ strftime_now('%Q') }}").unwrap_err().contains("%Q"));
}

#[test]
fn does_an_endless_template_end() {
    let limited = |template: &str, reason: &str| {
        let told = of(template).expect_err("it is given up");
        assert!(told.contains(reason), "{template}: {told}");
    };
    let long =
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
    limited(long, "too much work");
    let doubling = "{% set ns = namespace(x='xxxxxxxx') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x | length }}";
    limited(doubling, "too much work");
    limited("{{ 'x' * 99999999999 }}", "too much work");
    limited("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion limit");
    limited("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursion limit");
    // A shorter one of the same kind ends.
    assert_eq!(
        of("{% for a in range(9) %}{% for b in range(9) %}{{ b }}{% endfor %}{% endfor %}")
            .unwrap()
            .len(),
        81
    );
    assert_eq!(of(&doubling.replace("60", "6")).unwrap(), "512");
    assert_eq!(
        of("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{% endif %}x{% endmacro %}{{ f(9) }}")
            .unwrap()
            .len(),
        10
    );
}

#[test]
fn does_no_template_end_the_process_however_deep() {
    for (begin, opening, middle, closing, end) in [
        ("{{ 1", "|abs", "", "", " }}"),
        ("{{ 1", "+1", "", "", " }}"),
        ("{{ a", ".b", "", "", " }}"),
        ("{{ a", "[0]", "", "", " }}"),
        ("{{ a", "()", "", "", " }}"),
        ("{{ ", "not ", "1", "", " }}"),
        ("{{ ", "-", "1", "", " }}"),
        ("{{ ", "[", "1", "]", " }}"),
        ("{{ ", "(", "1", ")", " }}"),
        ("{{ 1", " if 1 else 1", "", "", " }}"),
        ("{{ 1", "~1", "", "", " }}"),
        ("{{ 1", "**1", "", "", " }}"),
        ("{{ 1", " and 1", "", "", " }}"),
        ("{{ 1", " == 1", "", "", " }}"),
        ("", "{% if 1 %}", "x", "{% endif %}", ""),
        ("", "{% for a in [1] %}", "x", "{% endfor %}", ""),
        ("{% if 1 %}", "{% elif 1 %}", "", "", "{% endif %}"),
        ("", "{% filter upper %}", "x", "{% endfilter %}", ""),
    ] {
        let of_depth = |depth: usize| {
            of(&[begin, &opening.repeat(depth), middle, &closing.repeat(depth), end].concat())
        };
        // It is closed and valid; whether its names are defined is nothing to its parser.
        let shallow = of_depth(2);
        let is_undefined = |told: &String| told.contains("undefined") || told.contains("unknown");
        assert!(shallow.as_ref().map_or_else(is_undefined, |_| true), "{opening}: {shallow:?}");
        let fixed = begin.len() + middle.len() + end.len();
        // Some of them are rendered even so; what counts is that none of them ends the process.
        let _ = of_depth(((64 << 10) - fixed) / (opening.len() + closing.len()));
    }
    let most = format!("{{{{ 1{} }}}}", "~1".repeat(2_000));
    assert_eq!(of(&most).unwrap().len(), 2_001);
    let long = of(&" ".repeat(65_537)).unwrap_err();
    assert!(long.contains("has 65537 bytes; at most 65536 are rendered"), "{long}");
    assert!(of("{% include 'tokenizer.json' %}").is_err());
}

#[test]
fn where_is_the_template_looked_for() {
    let today = "2026-07-04".parse().unwrap();
    let text = |model: &ModelDir| {
        let template = model.chat_template();
        template.and_then(|t| t.render(None, "hi", today)).map_err(|error| error.to_string())
    };
    let (_dir, several) = model(&json!({"chat_template": [
        {"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]}));
    assert_eq!(text(&several).unwrap(), "yes");
    let (dir, none) = model(&json!({"chat_template": null}));
    let missing = text(&none).unwrap_err();
    assert!(missing.contains("tokenizer_config.json states no chat_template"), "{missing}");
    assert!(missing.contains("chat_template.jinja") && missing.contains("--chat"), "{missing}");
    fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    assert_eq!(text(&none).unwrap_err(), missing);
    fs::write(dir.path().join("special_tokens_map.json"), r#"{"bos_token": "<b>"}"#).unwrap();
    fs::write(dir.path().join("chat_template.jinja"), "{{ bos_token }}file").unwrap();
    assert_eq!(text(&none).unwrap(), "<b>file");
    let (_dir, wrong) = model(&json!({"chat_template": [{"name": "rag", "template": "no"}]}));
    assert!(text(&wrong).unwrap_err().contains("`default`"));
}
