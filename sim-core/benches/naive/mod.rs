//! The yardstick: the traffic of `broadcast_reduce` by the simplest program that has queues, backpressure and
//! arbitration. It visits every tile in every cycle, and what a PE does is wired into it; no programs, no counters, no
//! colors but these two, no contract.

/// A queue with latency, whose freed slots are seen from the next cycle on.
#[derive(Clone, Copy, Default)]
struct Fifo<const SLOTS: usize> {
    words: [(u32, f32); 8],
    head: u8,
    len: u8,
    freed: u8,
}

impl<const SLOTS: usize> Fifo<SLOTS> {
    fn has_room(&self) -> bool {
        usize::from(self.len + self.freed) < SLOTS
    }

    fn push(&mut self, arrival: u32, word: f32) {
        self.words[usize::from(self.head + self.len) & 7] = (arrival, word);
        self.len += 1;
    }

    fn is_here(&self, now: u32) -> bool {
        self.len > 0 && self.words[usize::from(self.head & 7)].0 <= now
    }

    fn pop(&mut self) -> f32 {
        let (_, word) = self.words[usize::from(self.head & 7)];
        self.head = (self.head + 1) & 7;
        self.len -= 1;
        self.freed += 1;
        word
    }
}

#[derive(Clone)]
struct Tile {
    /// From the west; in the first column from the PE.
    row: Fifo<4>,
    south: Fifo<4>,
    up: Fifo<6>,
    row_in: Fifo<8>,
    south_in: Fifo<8>,
    /// The column is first at the ramp.
    turn: bool,
    summing: bool,
    index: usize,
    rounds: u32,
    ready: u32,
    memory: [f32; 64],
}

/// The whole wafer, for vectors of 64 words.
#[derive(Clone)]
pub(crate) struct Naive {
    width: usize,
    rounds: u32,
    tiles: Vec<Tile>,
    pub(crate) hops: u64,
}

impl Naive {
    pub(crate) fn new(width: usize, height: usize, rounds: u32) -> Naive {
        let tile = Tile {
            row: Fifo::default(),
            south: Fifo::default(),
            up: Fifo::default(),
            row_in: Fifo::default(),
            south_in: Fifo::default(),
            turn: false,
            summing: false,
            index: 0,
            rounds: 0,
            ready: 0,
            memory: [0.0; 64],
        };
        Naive { width, rounds, tiles: vec![tile; width * height], hops: 0 }
    }

    /// Runs to the end. Returns the cycles that it took.
    pub(crate) fn run(&mut self) -> u32 {
        let mut now = 0;
        while self.tiles.iter().any(|tile| tile.rounds < self.rounds) {
            for at in 0..self.tiles.len() {
                self.router(at, now);
                self.pe(at, now);
            }
            for tile in &mut self.tiles {
                (tile.row.freed, tile.south.freed, tile.up.freed) = (0, 0, 0);
                (tile.row_in.freed, tile.south_in.freed) = (0, 0);
            }
            now += 1;
        }
        now
    }

    fn router(&mut self, at: usize, now: u32) {
        let (x, east) = (at % self.width, at + 1);
        let goes_on = x + 1 < self.width;
        let east_room = !goes_on || self.tiles[east].row.has_room();
        let tile = &mut self.tiles[at];
        let mut row = tile.row.is_here(now) && east_room && (x == 0 || tile.row_in.has_room());
        let mut column = tile.south.is_here(now) && tile.south_in.has_room();
        if row && column && x > 0 {
            (row, column) = (!tile.turn, tile.turn);
            tile.turn = !tile.turn;
        }
        if column {
            let word = tile.south.pop();
            tile.south_in.push(now + 2, word);
        }
        if row {
            let word = tile.row.pop();
            if x > 0 {
                tile.row_in.push(now + 2, word);
            }
            if goes_on {
                self.tiles[east].row.push(now + 1, word);
                self.hops += 1;
            }
        }
        if self.tiles[at].up.is_here(now) && self.tiles[at - self.width].south.has_room() {
            let word = self.tiles[at].up.pop();
            self.tiles[at - self.width].south.push(now + 1, word);
            self.hops += 1;
        }
    }

    fn pe(&mut self, at: usize, now: u32) {
        let (first, top) = (at.is_multiple_of(self.width), at < self.width);
        let bottom = at + self.width >= self.tiles.len();
        let tile = &mut self.tiles[at];
        if tile.rounds == self.rounds || now < tile.ready {
            return;
        }
        let memory = &mut tile.memory[tile.index];
        let stepped = match (tile.summing, first) {
            (false, true) => tile.row.has_room().then(|| tile.row.push(now + 3, *memory)),
            (false, false) => tile.row_in.is_here(now).then(|| *memory = tile.row_in.pop()),
            (true, _) => {
                let ready = (bottom || tile.south_in.is_here(now)) && (top || tile.up.has_room());
                ready.then(|| {
                    let sum = if bottom { *memory } else { *memory + tile.south_in.pop() };
                    if top { *memory = sum } else { tile.up.push(now + 3, sum) }
                })
            }
        };
        if stepped.is_some() {
            tile.index += 1;
        }
        if tile.index == tile.memory.len() {
            tile.index = 0;
            tile.rounds += u32::from(tile.summing);
            tile.summing = !tile.summing;
            tile.ready = now + 5;
        }
    }
}
