//! Dates as Python's `strftime` writes them.

use std::fmt;
use std::str::FromStr;

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] =
    ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// A day of the Gregorian calendar, from 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    year: u32,
    /// From 1.
    month: u32,
    /// From 1.
    day: u32,
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Date {
    /// The day, in UTC, so many seconds after the beginning of 1970; the last one there is for more.
    pub fn of_unix_seconds(seconds: u64) -> Date {
        let mut left = seconds / 86_400;
        for year in 1970..=9999 {
            let days = 365 + u64::from(is_leap(year));
            if left >= days {
                left -= days;
                continue;
            }
            let mut day = left as u32;
            let mut month = 1;
            while day >= days_of(year, month) {
                day -= days_of(year, month);
                month += 1;
            }
            return Date { year, month, day: day + 1 };
        }
        Date { year: 9999, month: 12, day: 31 }
    }

    /// Days before this one in its year.
    fn of_year(self) -> u32 {
        (1..self.month).map(|month| days_of(self.year, month)).sum::<u32>() + self.day - 1
    }

    fn weekday(self) -> &'static str {
        let years: u32 = (1970..self.year).map(|year| 365 + u32::from(is_leap(year))).sum();
        DAYS[((years + self.of_year()) % 7) as usize]
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Reads `2026-07-31`.
impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Date, String> {
        let parts: Vec<u32> =
            text.split('-').map(str::parse).collect::<Result<_, _>>().unwrap_or_default();
        let is_padded = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match parts[..] {
            _ if !is_padded => Err(format!("`{text}` is no day; write it as 2026-07-31")),
            [year @ 1970..=9999, month @ 1..=12, day @ 1..=31] if day <= days_of(year, month) => {
                Ok(Date { year, month, day })
            }
            _ => Err(format!("`{text}` is no day; write it as 2026-07-31")),
        }
    }
}

/// `format` with the parts of `date`, at midnight.
pub(super) fn strftime(date: Date, format: &str) -> Result<String, Error> {
    let Date { year, month, day } = date;
    let month_name = MONTHS[month as usize - 1];
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let mut code = letters.next();
        let unpadded = code == Some('-');
        if unpadded {
            code = letters.next();
        }
        let two = |n: u32| if unpadded { n.to_string() } else { format!("{n:02}") };
        text.push_str(&match code {
            Some('Y') => year.to_string(),
            Some('y') => two(year % 100),
            Some('m') => two(month),
            Some('d') => two(day),
            Some('e') => format!("{day:2}"),
            Some('j') if unpadded => (date.of_year() + 1).to_string(),
            Some('j') => format!("{:03}", date.of_year() + 1),
            Some('B') => month_name.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('A') => date.weekday().to_owned(),
            Some('a') => date.weekday()[..3].to_owned(),
            Some('F') => date.to_string(),
            Some('H' | 'M' | 'S') => two(0),
            Some('I') => "12".to_owned(),
            Some('p') => "AM".to_owned(),
            Some('T') => "00:00:00".to_owned(),
            // As Python writes it of a time that names no zone.
            Some('Z') => String::new(),
            Some('%') => "%".to_owned(),
            _ => {
                let problem = format!("strftime_now: the format {format:?} is not understood");
                return Err(Error::new(ErrorKind::InvalidOperation, problem));
            }
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_days_those_of_the_calendar() {
        for (seconds, day, wanted) in [
            (0, "1970-01-01", "Thu 01 Jan 1970 001"),
            (951_782_400 + 5, "2000-02-29", "Tue 29 Feb 2000 060"),
            (1_735_603_200, "2024-12-31", "Tue 31 Dec 2024 366"),
            (4_107_542_400, "2100-03-01", "Mon 01 Mar 2100 060"),
        ] {
            let date = Date::of_unix_seconds(seconds);
            assert_eq!(date, day.parse().unwrap());
            assert_eq!(strftime(date, "%a %d %b %Y %j").unwrap(), wanted);
        }
        let date = "2026-07-04".parse().unwrap();
        assert_eq!(strftime(date, "%A, %B %-d, %H:%M %%").unwrap(), "Saturday, July 4, 00:00 %");
        assert!(strftime(date, "%Q").is_err() && strftime(date, "%").is_err());
        for wrong in [
            "2026-02-29",
            "2026-13-01",
            "2026-1",
            "+2026-7-4",
            "2026-7-14",
            "today",
            "",
            "2026-01-00",
            "1-1-1",
        ] {
            assert!(wrong.parse::<Date>().is_err(), "{wrong}");
        }
        assert_eq!(Date::of_unix_seconds(u64::MAX).to_string(), "9999-12-31");
    }
}
