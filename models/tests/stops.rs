//! Does an answer's text end where it should, and never inside a character?

mod common;

use common::{copy_of, examples};
use models::{AnswerText, ModelDir, StopStrings, Tokenizer};
use proptest::prelude::*;
use std::fs;

fn tokenizer() -> Tokenizer {
    ModelDir::open_shape(examples("models/stdlib-1m")).unwrap().tokenizer().unwrap()
}

/// Pushes the ids until a stop string is complete. Returns the pieces, the text, and how many ids were taken.
fn answer(
    tokenizer: &Tokenizer,
    stops: &[&str],
    ids: &[u32],
) -> (Vec<String>, String, Option<usize>) {
    let stops = StopStrings::new(stops.iter().map(ToString::to_string));
    let mut answer = AnswerText::new(tokenizer, &stops);
    let mut pieces = Vec::new();
    for (n, &id) in (1..).zip(ids) {
        let (piece, is_stopped) = answer.push(id).unwrap();
        pieces.push(piece);
        if is_stopped {
            assert_eq!(pieces.concat(), answer.text());
            return (pieces, answer.text().to_string(), Some(n));
        }
    }
    pieces.push(answer.finish().unwrap());
    assert_eq!(pieces.concat(), answer.text());
    (pieces, answer.text().to_string(), None)
}

#[test]
fn may_a_stop_string_span_tokens_and_begin_inside_one() {
    let tokenizer = tokenizer();
    let text = "    return self.value\n\ndef other():";
    let ids = tokenizer.encode(text).unwrap();
    assert!(ids.len() > 6, "{ids:?}");
    for from in 0..text.len() {
        for to in from + 1..=text.len() {
            let stop = &text[from..to];
            let at = text.find(stop).unwrap();
            let (_, told, taken) = answer(&tokenizer, &[stop], &ids);
            assert_eq!(told, text[..at], "{stop:?}");
            // The first id with which the text holds the stop string.
            let wanted =
                (1..=ids.len()).find(|&n| tokenizer.decode(&ids[..n]).unwrap().contains(stop));
            assert_eq!(taken, wanted, "{stop:?}");
        }
    }
}

#[test]
fn is_text_held_back_only_as_long_as_it_may_be_a_stop_string() {
    let tokenizer = tokenizer();
    let ids: Vec<u32> =
        "a\n\nb".chars().flat_map(|c| tokenizer.encode(&c.to_string()).unwrap()).collect();
    assert_eq!(ids.len(), 4);
    let (pieces, text, taken) = answer(&tokenizer, &["\n\nd"], &ids);
    assert_eq!((text.as_str(), taken), ("a\n\nb", None));
    assert_eq!(pieces, ["a", "", "", "\n\nb", ""]);
    let (pieces, text, _) = answer(&tokenizer, &["\n\nd"], &ids[..3]);
    assert_eq!((text.as_str(), pieces.last().unwrap().as_str()), ("a\n\n", "\n\n"));
}

#[test]
fn is_a_character_over_several_tokens_shown_whole() {
    let tokenizer = tokenizer();
    let text = "x€漢🦀é";
    let ids = tokenizer.encode(text).unwrap();
    assert!(ids.len() > text.chars().count() + 5, "one token a byte: {ids:?}");
    for stops in [&[] as &[&str], &["漢漢"]] {
        let (pieces, told, _) = answer(&tokenizer, stops, &ids);
        assert_eq!(told, text);
        assert!(pieces.iter().all(|piece| !piece.contains('\u{FFFD}')), "{pieces:?}");
    }
    assert_eq!(answer(&tokenizer, &["漢"], &ids).1, "x€");
    assert_eq!(answer(&tokenizer, &["€漢"], &ids).1, "x");
    // Cut inside a character: what is not whole shows as such at the end alone.
    let (pieces, told, _) = answer(&tokenizer, &[], &ids[..ids.len() - 1]);
    assert_eq!(told, "x€漢🦀\u{FFFD}");
    assert!(pieces.split_last().unwrap().1.iter().all(|piece| !piece.contains('\u{FFFD}')));
}

#[test]
fn does_a_special_token_stop_by_its_spelling() {
    let tokenizer = tokenizer();
    let ids = [tokenizer.encode("ab").unwrap(), vec![0, 65]].concat();
    let (_, text, taken) = answer(&tokenizer, &["<|endoftext|>"], &ids);
    assert_eq!((text.as_str(), taken), ("ab", Some(ids.len() - 1)));
}

#[test]
fn are_the_models_own_stop_strings_and_settings_read() {
    let dir = copy_of(&examples("oracle/bad/control-good/model"));
    let of = |text: &str| {
        fs::write(dir.path().join("generation_config.json"), text).unwrap();
        let model = ModelDir::open_shape(dir.path()).map_err(|error| error.to_string())?;
        let generation = model.generation().map_err(|error| error.to_string())?;
        Ok::<_, String>((model.stop_strings().to_vec(), generation))
    };
    assert_eq!(of(r#"{"stop_strings": "END"}"#).unwrap().0, ["END"]);
    let all = r#"{"stop_strings": ["a", "b"], "do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95,
        "min_p": null, "repetition_penalty": 1.1}"#;
    let (stops, all) = of(all).unwrap();
    assert_eq!((stops.len(), all.do_sample, all.top_k), (2, true, Some(20)));
    assert_eq!((all.temperature, all.top_p, all.min_p), (Some(0.6), Some(0.95), None));
    assert_eq!(all.repetition_penalty, Some(1.1));
    for (wrong, key) in [
        (r#"{"stop_strings": [1]}"#, "stop_strings"),
        (r#"{"stop_strings": ""}"#, "stop_strings"),
        (r#"{"temperature": -1}"#, "temperature"),
        (r#"{"top_p": 1.5}"#, "top_p"),
        (r#"{"repetition_penalty": 0}"#, "repetition_penalty"),
    ] {
        assert!(of(wrong).unwrap_err().contains(key), "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_ids_give_the_text_before_the_first_stop_string(
        ids in prop::collection::vec(0u32..1024, 0..24), stop in "[ae\n =é]{1,2}",
    ) {
        let tokenizer = tokenizer();
        let (_, text, taken) = answer(&tokenizer, &[&stop], &ids);
        let whole = tokenizer.decode(&ids[..taken.unwrap_or(ids.len())]).unwrap();
        match taken {
            Some(_) => prop_assert_eq!(text, whole[..whole.find(&stop).unwrap()].to_string()),
            None => prop_assert_eq!(text, whole),
        }
    }
}
