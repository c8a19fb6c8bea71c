//! Raw arguments, as they are typed. `settings` and `requests` turn them into validated values.

use crate::diff::DiffArgs;
use crate::failure::Failure;
use crate::gate::CheckArgs;
use crate::sweep::SweepArgs;
use clap::builder::ValueParser;
use clap::{
    Arg, ArgAction, ArgGroup, ArgMatches, Args, FromArgMatches, Parser, Subcommand, value_parser,
};
use models::Date;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use traces::timeline::Region;

/// A cycle-level simulator of wafer-scale AI accelerators.
///
/// A Hugging Face model directory goes in, a machine file goes in, and out come the tokens that the
/// simulated wafer computed, with the cycle at which each of them left it.
#[derive(Debug, Parser)]
#[command(name = "wafersim", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a model on a simulated wafer and print what it says, and when
    Run {
        #[command(flatten)]
        args: RunArgs,
        #[command(flatten)]
        views: ViewArgs,
    },
    /// Say where the cycles of a run went, and which constants of the machine would buy some back
    Explain(RunArgs),
    Compile(CompileArgs),
    Exec(ExecArgs),
    Sweep(SweepArgs),
    Diff(DiffArgs),
    Check(CheckArgs),
    Validate(ValidateArgs),
    Machine(MachineArgs),
}

/// Run a model on a simulated wafer and print what it says, and when.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Hugging Face directory: config.json, model.safetensors (or shards with an index),
    /// tokenizer.json
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) wafer: WaferArgs,
    #[command(flatten)]
    pub(crate) prompts: Prompts<true>,
    /// New tokens at most: once for all prompts, or once per prompt [default: 128, cut to the
    /// model's context]
    #[arg(long, value_name = "N", action = ArgAction::Append)]
    pub(crate) max_new_tokens: Vec<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) chat: ChatArgs,
    /// End an answer before this text, which may span tokens (repeatable; besides the model's own stop_strings)
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,
    /// Whether wavelets and SRAM carry values (full), or only timing is simulated (none), for which no weights are needed
    #[arg(long, value_enum, default_value_t = Data::Full)]
    pub(crate) data: Data,
    /// Whether stages that behave alike are simulated once, with the same cycles and counters [default: on with --data none for one request with fewer prompt tokens than new ones]
    #[arg(long, value_enum)]
    pub(crate) fold: Option<Fold>,
    /// The KV cache holds P positions already, unpaid; with --data none
    #[arg(long, value_name = "P", default_value_t = 0)]
    pub(crate) start_position: u32,
    /// Run each request N times, all in flight together
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) streams: NonZeroU32,
    /// Say where the cycles of the first request went, by a second pass over the run; auto: where that is short
    #[arg(long, value_enum, default_value_t = Attribute::Auto)]
    pub(crate) attribution: Attribute,
    /// Compare token ids and logits with the reference on the host; exit code 3 where tokens differ
    #[arg(long)]
    pub(crate) check_reference: bool,
    /// Print one JSON document (schema wafersim.run/1) instead of text and table
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the text alone: no table, no progress, no notes
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) host: HostArgs,
    /// Stop with an error at this cycle [default: far more than the work can take]
    #[arg(long, value_name = "N")]
    pub(crate) cycle_limit: Option<NonZeroU64>,
    // Last, since its heading would hold for what follows.
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// What else is written of a run.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Pictures and timelines")]
pub(crate) struct ViewArgs {
    /// Write a page, index.html, with maps of the wafer, and the report, result.json, into a folder; one that holds an
    /// earlier report is replaced
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Write a timeline for Perfetto (ui.perfetto.dev), of 50 MB at most, by a second pass over the run
    #[arg(long, value_name = "FILE.pftrace")]
    pub(crate) trace: Option<PathBuf>,
    /// Of these tiles alone: column and row of the north-west one, columns x rows
    #[arg(long, value_name = "X,Y,WxH", requires = "trace", value_parser = crate::timeline::parse_region)]
    pub(crate) trace_region: Option<Region>,
    /// Of the cycles from A to before B alone
    #[arg(long, value_name = "A..B", requires = "trace", value_parser = crate::timeline::parse_window)]
    pub(crate) trace_window: Option<Range<u64>>,
    /// How much of it; each level has what those before it have
    #[arg(long, value_enum, value_name = "LEVEL", requires = "trace", default_value_t = TraceLevel::Tasks)]
    pub(crate) trace_level: TraceLevel,
}

/// How much a timeline holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum TraceLevel {
    /// What each stage works on, and counters
    Stages,
    /// What each PE works on
    #[default]
    Tasks,
    /// Steps of PEs, and what they wait for
    Instructions,
    /// Each wavelet, from where it is put to where it is taken
    Wavelets,
}

/// Prompts as messages.
#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    /// Take each prompt as a user's message, and write it as the model's chat template does
    #[arg(long)]
    pub(crate) chat: bool,
    /// A system message before the user's
    #[arg(long, value_name = "TEXT", requires = "chat", allow_hyphen_values = true)]
    pub(crate) system: Option<String>,
    /// The day that templates which ask for one are told [default: today, in UTC]
    #[arg(long, value_name = "YYYY-MM-DD", requires = "chat")]
    pub(crate) chat_date: Option<Date>,
}

/// Drawing tokens.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(
    next_help_heading = "Sampling (without any of these, the wafer takes the most likely token)"
)]
pub(crate) struct SamplingArgs {
    /// Divide logits by this before drawing; 0: take the most likely token, which without a penalty the wafer does
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) temperature: Option<f64>,
    /// Draw from the K most likely tokens; 0: from all
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Draw from the fewest most likely tokens that have probability P together
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) top_p: Option<f64>,
    /// Draw from tokens with at least P times the probability of the most likely one
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) min_p: Option<f64>,
    /// Make tokens of prompt and answer less likely: divide positive logits by R, multiply negative ones
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub(crate) repetition_penalty: Option<f64>,
    /// Draw other tokens with another S; request n (from 0) draws with S + n; with --data none, draw other experts [default: 0]
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
}

/// What a simulation may take of the host.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// Threads that simulate; the results do not depend on it [default: as many as the host runs at a time]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl HostArgs {
    /// Threads that simulate.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        let asked = self.threads.and_then(|threads| NonZeroUsize::new(threads.into()));
        asked.or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}

/// Place a model on a wafer and print what goes where.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// Hugging Face directory, as for `run`
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) wafer: WaferArgs,
    /// Positions (prompt and new tokens) of the request to make room for [default: the model's
    /// context, 512 at most]
    #[arg(long, value_name = "N", conflicts_with = "prompts")]
    pub(crate) positions: Option<NonZeroUsize>,
    /// With prompts, the image makes room for these requests, and its host sends them and stops when
    /// they are answered
    #[command(flatten)]
    pub(crate) prompts: Prompts<false>,
    /// New tokens at most, as for `run`
    #[arg(long, value_name = "N", action = ArgAction::Append, requires = "prompts")]
    pub(crate) max_new_tokens: Vec<NonZeroUsize>,
    /// Print the image as text that `wafersim exec` runs, instead of the placement
    #[arg(long, value_enum, conflicts_with = "json")]
    pub(crate) emit: Option<Emit>,
    /// Write the image, in the binary form that `wafersim exec` runs
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON document (schema wafersim.compile/1)
    #[arg(long)]
    pub(crate) json: bool,
    /// No notes
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Run a program: a kernel in assembly, or an image that `compile` made.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// A text in assembly (.wsk), an image in binary form, or the name of a kernel that is built in (`--list`)
    #[arg(value_name = "KERNEL|IMAGE", required_unless_present = "list")]
    kernel: Option<PathBuf>,
    /// List the kernels that are built in, with their parameters
    #[arg(long, exclusive = true)]
    pub(crate) list: bool,
    /// Print the program in assembly instead of running it
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) emit: Option<Emit>,
    /// A machine that is built in, or the path of a .ron file; not for programs that state their own
    /// [default: that of `run`]
    #[arg(long, value_name = "NAME|FILE.ron")]
    pub(crate) machine: Option<String>,
    /// Change one key of the machine, such as machine.fabric.hop_cycles=1 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Set a parameter of the kernel (repeatable)
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(crate) param: Vec<String>,
    /// Stop at this cycle
    #[arg(long, value_name = "CYCLES", default_value = "1000000000")]
    pub(crate) limit: NonZeroU64,
    #[command(flatten)]
    pub(crate) host: HostArgs,
    /// Print one JSON document (schema wafersim.exec/1) instead of results and table
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the results alone: no table, no progress, no warnings
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl ExecArgs {
    /// What is to be run; empty with `--list`.
    pub(crate) fn kernel(&self) -> &Path {
        self.kernel.as_deref().unwrap_or(Path::new(""))
    }
}

/// Compare every published figure with the simulated one; exit code 3 where one lies outside what is allowed.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Leave out the rows that take long
    #[arg(long)]
    pub(crate) fast: bool,
    /// Write the page to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON document (schema wafersim.validate/1)
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// List the machines that are built in, or show all constants of one.
#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    #[command(subcommand)]
    pub(crate) command: MachineCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// List the machines that are built in
    List,
    /// Print a machine as a file: every constant, with its source where it is built in
    Show {
        /// A machine that is built in, or the path of a .ron file
        name: String,
    },
}

/// What a model is put on, and how.
#[derive(Debug, Args)]
pub(crate) struct WaferArgs {
    /// A machine that is built in (`wafersim machine list`) or the path of a .ron file
    #[arg(long, value_name = "NAME|FILE.ron", default_value = fabric::presets::DEFAULT)]
    pub(crate) machine: String,
    /// Change one key, such as machine.fabric.hop_cycles=1, numerics.accumulate=f16 or
    /// mapping.stage_width=16 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Send up to T consecutive prompt tokens through the stages together; auto: as many as bring the first token
    /// earliest, by predicted time (the same as --set mapping.prefill_chunk=T; 0 is auto) [default: 1]
    #[arg(long, value_name = "T|auto", value_parser = parse_chunk)]
    pub(crate) prefill_chunk: Option<u32>,
}

/// Reads a number of tokens, or `auto`, which is 0.
fn parse_chunk(text: &str) -> Result<u32, String> {
    match text.trim() {
        "auto" => Ok(0),
        number => match number.parse() {
            Ok(0) | Err(_) => {
                Err(format!("`{number}` is no number of tokens from 1 on, nor `auto`"))
            }
            Ok(tokens) => Ok(tokens),
        },
    }
}

/// Whether payloads are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Data {
    /// They are
    Full,
    /// Only timing is; weights are not read
    None,
}

/// Whether there is a second pass over a run, which says where its cycles went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Attribute {
    /// There is
    On,
    /// There is none
    Off,
    /// There is where the run moved few wavelets
    Auto,
}

/// Whether runs are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fold {
    /// Stages that behave alike are simulated once
    On,
    /// Every stage is simulated
    Off,
}

/// Forms of an image that can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Emit {
    /// Assembly.
    Asm,
}

/// Where a prompt comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// The text itself.
    Text(String),
    /// A file that holds the text.
    File(PathBuf),
    /// Token ids.
    Ids(Vec<u32>),
    /// So many tokens, whichever.
    Tokens(usize),
}

/// All prompts, in the order in which they were given, whichever option gave them. Deriving would
/// make one list per option and lose that order. `REQUIRED`: whether there must be one.
#[derive(Debug)]
pub(crate) struct Prompts<const REQUIRED: bool>(pub(crate) Vec<Prompt>);

/// Option, value name, help.
const PROMPT_OPTIONS: [(&str, &str, &str); 4] = [
    ("prompt", "TEXT", "The prompt as text (repeatable)"),
    ("prompt-file", "FILE", "A file that holds the prompt as text (repeatable)"),
    ("prompt-ids", "1,2,3", "The prompt as token ids, separated by commas (repeatable)"),
    ("prompt-tokens", "N", "A prompt of any N tokens (repeatable)"),
];

impl<const REQUIRED: bool> Args for Prompts<REQUIRED> {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        let parsers: [ValueParser; 4] = [
            ValueParser::new(|text: &str| Ok::<_, String>(Prompt::Text(text.to_string()))),
            ValueParser::new(|text: &str| Ok::<_, String>(Prompt::File(PathBuf::from(text)))),
            ValueParser::new(parse_ids),
            ValueParser::new(parse_tokens),
        ];
        for ((name, value, help), parser) in PROMPT_OPTIONS.into_iter().zip(parsers) {
            command = command.arg(
                Arg::new(name)
                    .long(name)
                    .value_name(value)
                    .help(help)
                    .value_parser(parser)
                    .action(ArgAction::Append),
            );
        }
        let names = PROMPT_OPTIONS.map(|(name, _, _)| name);
        command.group(ArgGroup::new("prompts").args(names).required(REQUIRED).multiple(true))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<const REQUIRED: bool> FromArgMatches for Prompts<REQUIRED> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<(usize, Prompt)> = Vec::new();
        for (name, _, _) in PROMPT_OPTIONS {
            let places = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<Prompt>(name).into_iter().flatten();
            found.extend(places.zip(values.cloned()));
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(Prompts(found.into_iter().map(|(_, prompt)| prompt).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Reads `1,2,3`. Nothing at all is an empty prompt, which the model refuses in its own words.
fn parse_ids(text: &str) -> Result<Prompt, String> {
    if text.trim().is_empty() {
        return Ok(Prompt::Ids(Vec::new()));
    }
    let id = |part: &str| {
        let part = part.trim();
        part.parse::<u32>().map_err(|_| format!("`{part}` is no token id; write ids as 1,2,3"))
    };
    text.split(',').map(id).collect::<Result<_, _>>().map(Prompt::Ids)
}

/// Reads a number of tokens.
fn parse_tokens(text: &str) -> Result<Prompt, String> {
    let number = text.trim().parse::<usize>();
    number.map(Prompt::Tokens).map_err(|_| format!("`{text}` is no number of tokens"))
}

impl Cli {
    /// Reads the command line; `--help`, `--version` and mistakes come back as [`Failure::Usage`].
    pub(crate) fn read() -> Result<Cli, Failure> {
        Cli::try_parse().map_err(Failure::Usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn prompts_keep_the_order_in_which_they_were_given() {
        let line = "wafersim run m --prompt a --prompt-ids 1,2 --prompt-file f --prompt b --prompt-tokens 9 --prompt-ids=";
        let Command::Run { args, .. } = Cli::parse_from(line.split(' ')).command else {
            panic!("the line says run");
        };
        let wanted = [
            Prompt::Text("a".into()),
            Prompt::Ids(vec![1, 2]),
            Prompt::File("f".into()),
            Prompt::Text("b".into()),
            Prompt::Tokens(9),
            Prompt::Ids(Vec::new()),
        ];
        assert_eq!(args.prompts.0, wanted);
    }

    #[test]
    fn a_wrong_id_is_named() {
        assert!(parse_ids("1,x,3").unwrap_err().contains("`x`"));
        assert!(parse_ids("1,,3").is_err());
        assert!(parse_ids("-1").is_err());
        assert_eq!(parse_ids(" 7 , 8 ").unwrap(), Prompt::Ids(vec![7, 8]));
    }
}
