//! A text as applications send it: records of a chat as JSON, of which deflate makes a third or a quarter.

use std::fmt::Write as _;

use crate::wire::Random;

/// Records until `size` is reached, the last one cut off, and with other words in each: so much of them
/// repeats as does in what applications send.
pub(crate) fn text(size: usize, random: &mut Random) -> Vec<u8> {
    let mut text = String::with_capacity(size + 512);
    let (names, words) = (split(NAMES), split(WORDS));
    while text.len() < size {
        let name = frequent(&names, random);
        let (id, seconds) = (random.below(1 << 32), random.below(86_400));
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let day = 1 + random.below(28);
        // Writing to a `String` does not fail.
        let _ = write!(
            text,
            "{{\"id\":{id},\"user\":\"{name}\",\"at\":\"2025-03-{day:02}T{hour:02}:{minute:02}:{second:02}Z\",\"text\":\""
        );
        for _ in 0..6 + random.below(20) {
            text += frequent(&words, random);
            text.push(' ');
        }
        let (level, wind) = (random.below(10_000), random.below(300));
        let _ = write!(
            text,
            "\",\"level\":{}.{:02},\"wind\":{}.{},\"seen\":{}}},",
            level / 100,
            level % 100,
            wind / 10,
            wind % 10,
            level % 3 == 0
        );
    }
    let cut = text.floor_char_boundary(size);
    text.truncate(cut);
    // What no whole character fills.
    text.extend(std::iter::repeat_n(' ', size - cut));
    text.into_bytes()
}

fn split(words: &str) -> Vec<&str> {
    words.split(' ').collect()
}

/// One of `words`, of which the first ones come most often, as in any language.
fn frequent<'a>(words: &[&'a str], random: &mut Random) -> &'a str {
    let count = words.len() as u64;
    let place = random.below(count).min(random.below(count)).min(random.below(count));
    words.get(usize::try_from(place).unwrap_or_default()).copied().unwrap_or_default()
}

const NAMES: &str = "ann ben carla dmitri Åsa farid grace hugo ines jonas keiko liam maría noor oskar priya quentin \
    rosa sven tomás uma viktor wanda xenia yusuf zoë";

const WORDS: &str = "the of and to in a is that it for was on are with as at be this have from or had by but not what \
    all were when we there can an your which their said if do will each about how up out them then \
    she many some so these would other into has more her two like him see time could no make than \
    first been its who now people my made over did down only way find use may water long little very \
    after words called just where most know tide turns noon gate opens half hour before harbour \
    pilot ship berth crane cargo delayed until morning fog lifts channel buoy lantern captain – \
    reports wind south-westerly rising expected again please confirm arrival café crew signal \
    departure schedule maintenance weather station anchor mooring draught ballast customs clearance \
    manifest container";
