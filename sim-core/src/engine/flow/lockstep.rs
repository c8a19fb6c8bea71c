//! Vectors that do not flow freely: the lines and steps of all who take part, side by side.
//!
//! Where slots run out, or wavelets are on their way already, times follow wavelet by wavelet: first those of one wavelet for all lines, in
//! the order of its way, then those of the next. What is found of a departure holds by itself, so that this may stop anywhere.

use super::Flow;
use super::meeting::{Part, Table, Work};
use super::wires::{Left, NONE};
use pe_isa::Word;

/// Before all cycles, with room for additions.
const LONG_AGO: i32 = i32::MIN / 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The steps of a part.
    Steps(u32),
    /// Their ends; the column before tells.
    Ends,
    Line,
}

/// The departures of a line, or steps: a column of the grid.
#[derive(Debug, Clone)]
struct Column {
    kind: Kind,
    /// [`NONE`] where steps take nothing.
    line: u32,
    /// The column from which wavelets come, and after how many cycles.
    up: usize,
    latency: i32,
    is_limited: bool,
    /// Its last room among all.
    rooms: usize,
    /// The first row that was undecided at the beginning, and that is.
    from: i32,
    next: i32,
}

/// Slots that what leaves a column goes into.
#[derive(Debug, Clone, Copy)]
struct Room {
    column: usize,
    slots: usize,
    credit: i32,
}

/// The steps of a part.
#[derive(Debug, Clone, Default)]
struct Steps {
    /// When the next can be taken, if there is something to take.
    ready: i32,
    full: i32,
    last_cost: i32,
    left: u32,
    work: Work,
    /// Its row less the number of departures of the line of its ends.
    shift: i32,
    /// The first row of the payloads that its tree carries, and where they begin among all.
    row: i32,
    payloads: usize,
}

/// When which wavelet left what: rows of wavelets, columns of lines. Kept for the next use.
#[derive(Debug, Default)]
pub(super) struct Grid {
    columns: Vec<Column>,
    rooms: Vec<Room>,
    steps: Vec<Steps>,
    times: Vec<i32>,
    /// The columns of lines that have one.
    of: Vec<u32>,
    rows: i32,
}

impl Grid {
    fn push(&mut self, column: Column) {
        if column.line != NONE {
            self.of[column.line as usize] = self.columns.len() as u32;
        }
        self.columns.push(column);
    }

    fn column(&self, line: u32) -> usize {
        self.of[line as usize] as usize
    }

    fn at(&self, row: i32, column: usize) -> i32 {
        self.times[row as usize * self.columns.len() + column]
    }
}

impl Flow<'_> {
    /// Decides the steps of all parts and what they send, as far as that follows. Returns whether anything did.
    pub(super) fn lockstep(&mut self, table: &mut Table) -> bool {
        for part in &table.parts {
            if part.out != NONE {
                self.settle(part.out);
            }
        }
        let mut grid = std::mem::take(&mut table.grid);
        self.lay_columns(&table.parts, &mut grid);
        self.lay_rows(&mut grid);
        self.fill(&mut grid);
        let moved = grid.columns.iter().any(|column| column.next > column.from);
        if moved {
            (0..table.parts.len()).for_each(|n| self.settle_part(table, &mut grid, n));
            self.list_columns(&grid);
        }
        table.grid = grid;
        moved
    }

    fn lay_columns(&self, parts: &[Part], grid: &mut Grid) {
        let lines = &self.wires.lines;
        grid.of.resize(lines.len(), NONE);
        grid.columns.clear();
        grid.steps.clear();
        for (n, part) in parts.iter().enumerate() {
            let line = |at: u32, kind, shift, grid: &Grid| {
                let line = &lines[at as usize];
                let row = line.left as i32 + shift;
                Column {
                    kind,
                    line: at,
                    up: if kind == Kind::Ends { 0 } else { grid.column(line.upstream) },
                    latency: line.latency.into(),
                    is_limited: line.is_limited,
                    rooms: 0,
                    from: row,
                    next: row,
                }
            };
            let taking = match part.from {
                Some((from, leaf)) => {
                    let shift = grid.steps[from as usize].shift;
                    line(leaf.line, Kind::Steps(n as u32), shift, grid)
                }
                None => Column {
                    kind: Kind::Steps(n as u32),
                    line: NONE,
                    up: 0,
                    latency: 0,
                    is_limited: false,
                    rooms: 0,
                    from: 0,
                    next: 0,
                },
            };
            let mut steps = self.steps_of(part);
            let row = taking.next;
            grid.push(taking);
            if part.out != NONE {
                let tree = &self.trees.list[part.out as usize];
                steps.shift = row - lines[tree.steps as usize].left as i32;
                grid.push(line(tree.steps, Kind::Ends, steps.shift, grid));
                let nodes = self.trees.nodes(part.out).iter().map(|node| node.line);
                for at in [tree.queue, tree.up].into_iter().chain(nodes) {
                    grid.push(line(at, Kind::Line, steps.shift, grid));
                }
            }
            grid.steps.push(steps);
        }
    }

    fn steps_of(&self, part: &Part) -> Steps {
        let op = self.op(part.pe);
        let pe = &self.domain.pes[part.pe as usize];
        let free = self.domain.net.gates[part.pe as usize].free_at;
        let ready = op.ready_at.max(free);
        let left = (op.issued.total - op.next).div_ceil(op.lanes);
        let last = (op.issued.total - op.next - 1) % op.lanes + 1;
        let launching = ready.saturating_sub(pe.accounted.max(free)) as u32;
        Steps {
            ready: ready as i32,
            full: op.step_cycles as i32,
            last_cost: self.layout.constants.cost.step_cycles(&op.issued, last) as i32,
            left,
            work: Work { launching, ..Work::default() },
            ..Steps::default()
        }
    }

    /// Who waits for slots of whom, and what has left before.
    fn lay_rows(&self, grid: &mut Grid) {
        let lines = &self.wires.lines;
        let Grid { columns, rooms, steps, times, of, rows } = grid;
        rooms.clear();
        let mut depth = self.wires.q as i32;
        for at in 0..columns.len() {
            let behind = match columns[at].kind {
                Kind::Ends => &[][..],
                Kind::Steps(_) => match columns.get(at + 1).map(|next| (next.kind, next.line)) {
                    Some((Kind::Ends, steps)) => &lines[steps as usize].behind[..1],
                    _ => &[][..],
                },
                Kind::Line => {
                    let line = &lines[columns[at].line as usize];
                    &line.behind[..usize::from(line.count)]
                }
            };
            rooms.extend(behind.iter().map(|&line| {
                let (column, line) = (of[line as usize] as usize, &lines[line as usize]);
                let slots = usize::from(line.capacity);
                Room { column, slots, credit: line.credit.into() }
            }));
            depth =
                rooms.iter().rev().take(behind.len()).map(|r| r.slots as i32).fold(depth, i32::max);
            columns[at].rooms = rooms.len();
        }
        let shift = 1 + depth - columns.iter().map(|column| column.next).min().unwrap_or(0);
        *rows = i32::MAX;
        for column in columns.iter_mut() {
            column.from += shift;
            column.next += shift;
            if let Kind::Steps(n) = column.kind {
                steps[n as usize].shift += shift;
                *rows = (*rows).min(column.next + steps[n as usize].left as i32);
            }
        }
        let width = columns.len();
        times.clear();
        times.resize(*rows as usize * width, LONG_AGO);
        for (at, column) in columns.iter().enumerate().filter(|(_, column)| column.line != NONE) {
            let line = &lines[column.line as usize];
            for back in 1..=(depth as u32 + 1).min(line.left).min(line.kept() as u32) {
                let row = column.next - back as i32;
                if row < *rows {
                    let time = self.wires.departure(line, line.left - back).time;
                    times[row as usize * width + at] = time as i32;
                }
            }
        }
    }

    /// Fills the grid, up to the last row or the first time that must not be decided yet.
    fn fill(&self, grid: &mut Grid) {
        let Grid { columns, rooms, steps, times, rows, .. } = grid;
        let width = columns.len();
        let horizon = i32::try_from(self.horizon).unwrap_or(i32::MAX);
        let (p, q) = (self.wires.p as i32, self.wires.q as usize);
        let first = columns.iter().map(|column| column.next).min().unwrap_or(0);
        for row in first..*rows {
            let mut rooms_from = 0;
            for at in 0..width {
                let column = &columns[at];
                let here = &rooms[rooms_from..column.rooms];
                rooms_from = column.rooms;
                if column.next > row || column.kind == Kind::Ends {
                    continue;
                }
                let own = row as usize * width;
                let mut slot = LONG_AGO;
                for room in here {
                    slot = slot.max(times[own - room.slots * width + room.column] + room.credit);
                }
                let Kind::Steps(n) = column.kind else {
                    let mut time = times[own + column.up] + column.latency;
                    time = time.max(times[own - width + at] + 1).max(slot);
                    if column.is_limited {
                        time = time.max(times[own - q * width + at] + p);
                    }
                    if time >= horizon {
                        return;
                    }
                    times[own + at] = time;
                    columns[at].next = row + 1;
                    continue;
                };
                let arrival = match column.line {
                    NONE => LONG_AGO,
                    _ => times[own + column.up] + column.latency,
                };
                let Some((step, end)) = steps[n as usize].take(arrival, slot, horizon) else {
                    return;
                };
                times[own + at] = step;
                columns[at].next = row + 1;
                if let Some(ends) = columns.get_mut(at + 1).filter(|next| next.kind == Kind::Ends) {
                    times[own + at + 1] = end;
                    ends.next = row + 1;
                }
            }
        }
    }

    /// Leaves what was found of part `n` in its PE and in the lines behind it.
    fn settle_part(&mut self, table: &mut Table, grid: &mut Grid, n: usize) {
        let Part { pe, out, from, .. } = table.parts[n];
        let work = grid.steps[n].work;
        let wavelets = work.count as usize;
        let row = grid.steps[n].shift + self.steps_left(out);
        let mut taken = 0..0;
        if let Some((source, leaf)) = from {
            let source = &grid.steps[source as usize];
            let column = &grid.columns[grid.column(leaf.line)];
            let first = source.payloads + (column.from - source.row) as usize;
            taken = first..first + wavelets;
            for row in column.from..column.next {
                let time = grid.at(row, grid.column(leaf.line)) as u32;
                self.wires.leave(leaf.line, Left { time, word: Word::default() });
            }
        }
        grid.steps[n].payloads = table.len();
        if out != NONE {
            let low = self.lowest(grid, out);
            grid.steps[n].row = low;
            for row in low..row {
                let word = self.on_its_way(out, (row - grid.steps[n].shift) as u32);
                table.push(word, self.layout.constants.has_data);
            }
        }
        self.compute(table, pe, wavelets, taken, out != NONE);
        if out != NONE {
            self.settle_tree(table, grid, n);
        }
        self.carry_on(pe, &work);
    }

    fn steps_left(&self, tree: u32) -> i32 {
        match tree {
            NONE => 0,
            tree => {
                let steps = self.trees.list[tree as usize].steps;
                self.wires.lines[steps as usize].left as i32
            }
        }
    }

    /// The first row that some FIFO of a tree has not decided.
    fn lowest(&self, grid: &Grid, tree: u32) -> i32 {
        let own = &self.trees.list[tree as usize];
        let lines = [own.steps, own.queue, own.up].into_iter();
        let nodes = self.trees.nodes(tree).iter().map(|node| node.line);
        let leaves = self.trees.leaves(tree).iter().map(|leaf| leaf.line);
        let rows =
            lines.chain(nodes).chain(leaves).map(|line| grid.columns[grid.column(line)].from);
        rows.min().expect("a tree has lines")
    }

    /// What the `n`-th wavelet of a tree carries, which not all receivers have taken.
    fn on_its_way(&self, tree: u32, n: u32) -> Word {
        let own = &self.trees.list[tree as usize];
        let nodes = self.trees.nodes(tree).iter().rev().map(|node| node.line);
        let mut lines = nodes.chain([own.up, own.queue, own.steps]);
        let kept = lines.find_map(|at| {
            let line = &self.wires.lines[at as usize];
            let back = line.left.checked_sub(n).filter(|&back| back > 0)?;
            (back as usize <= line.kept()).then(|| self.wires.departure(line, n).word)
        });
        kept.expect("a wavelet on its way has left something not long ago")
    }

    /// The departures from FIFOs of the tree of part `n`.
    fn settle_tree(&mut self, table: &Table, grid: &Grid, n: usize) {
        let steps = &grid.steps[n];
        let first = grid.column(self.trees.list[table.parts[n].out as usize].steps);
        let columns = grid.columns.iter().enumerate().skip(first);
        for (at, column) in columns.take_while(|(_, c)| !matches!(c.kind, Kind::Steps(_))) {
            let kept = self.wires.lines[column.line as usize].kept() as i32;
            let from = column.from.max(column.next - kept);
            self.wires.lines[column.line as usize].left += (from - column.from) as u32;
            for row in from..column.next {
                let time = grid.at(row, at) as u32;
                let place = steps.payloads + (row - steps.row) as usize;
                let word = table.word(place, self.layout.constants.has_data);
                self.wires.leave(column.line, Left { time, word });
            }
            if self.wires.lines[column.line as usize].contested != NONE {
                let times = (column.from..column.next).map(|row| grid.at(row, at) as u32);
                self.wires.pass_all(column.line, times);
            }
        }
    }

    /// Has lines looked at in which something is left: it may have got room.
    fn list_columns(&mut self, grid: &Grid) {
        for column in &grid.columns {
            match column.kind {
                Kind::Line if self.wires.has_pending(column.line) => self.list_line(column.line),
                _ => {}
            }
        }
    }
}

impl Steps {
    /// The next step, of a wavelet that arrives at one cycle and finds a slot at another: when it is taken, and when it ends.
    fn take(&mut self, arrival: i32, slot: i32, horizon: i32) -> Option<(i32, i32)> {
        let inputs = self.ready.max(arrival);
        let step = inputs.max(slot);
        if step >= horizon {
            return None;
        }
        let work = &mut self.work;
        work.waiting_input += (inputs - self.ready) as u32;
        work.waiting_output += (step - inputs) as u32;
        work.count += 1;
        work.last = step;
        self.ready = step + if work.count == self.left { self.last_cost } else { self.full };
        work.end = self.ready;
        Some((step, self.ready))
    }
}
