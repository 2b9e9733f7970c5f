//! README.md: closures that capture, and a test.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use offspring::Context;

struct Page<'a> {
    text: &'a str,
    read: Rc<Cell<u32>>,
}

impl<'a> Page<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, read: Rc::default() }
    }

    fn count_words(&self, dictionary: &Dictionary) -> usize {
        self.read.set(self.read.get() + 1);
        self.text.split_whitespace().filter(|word| dictionary.0.contains(word)).count()
    }
}

struct Dictionary(BTreeSet<&'static str>);

impl Dictionary {
    fn longest(&self) -> String {
        self.0.iter().copied().max_by_key(|word| word.len()).unwrap_or_default().to_owned()
    }
}

#[offspring::test(contexts(Fork))]
fn closures_that_capture(_: Context) -> Result<(), Box<dyn std::error::Error>> {
    let book = "the cat\nthe mat and the dog".to_owned();
    let dictionary = Dictionary(["the", "cat", "mat", "elephant"].into());
    let mut total = 0;

    let pages: Vec<Page<'_>> = book.lines().map(Page::new).collect();
    for count in offspring::fork::map(&pages, |page| page.count_words(&dictionary))? {
        total += count?;
    }
    let answer = offspring::fork::start(|| dictionary.longest())?.join()?;

    assert_eq!((total, answer.as_str()), (5, "elephant"));
    // The children changed copies.
    assert_eq!(pages[0].read.get(), 0);
    Ok(())
}

#[offspring::test]
fn table_sum(context: Context) -> offspring::Result<()> {
    assert_eq!(context.map(1..=10u64, |n| n * n)?.sum::<Result<u64, _>>()?, 385);
    Ok(())
}
