// SPDX-License-Identifier: GPL-2.0
//! Both drivers answer alike to the same requests at random, on memory in the same state.

use guplab::gup_test::{Command, Request, Whose};
use guplab::rng::case_rng;
use guplab::{GupTest, Rng, Session, page_size, sys};
use guplab_tests::{Not, Test, Tested, While, ensure, ensure_eq, fail, open, seed, skip};

use crate::open_driver;
use crate::requests::request;
use crate::scene::{Plan, Scene, Sort};

/// Requests for each sort of memory: fewer where much has to be prepared, and few where they print.
const REQUESTS: u32 = 120;
const REQUESTS_OF_HUGE: u32 = 40;
const DUMPS: u32 = 6;

const QUIET: [Command; 5] = [
    Command::GupFastBenchmark,
    Command::PinFastBenchmark,
    Command::PinLongtermBenchmark,
    Command::GupBasicTest,
    Command::PinBasicTest,
];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = Sort::ALL
        .into_iter()
        .map(|sort| {
            // A program makes its list of tests once.
            let name: &'static str = format!("{}: both drivers answer alike", sort.name()).leak();
            Test::new(name, move || {
                let requests = if sort.is_huge() {
                    REQUESTS_OF_HUGE
                } else {
                    REQUESTS
                };
                alike(sort, name, requests, |rng| QUIET[rng.usize(0..QUIET.len())])
            })
        })
        .collect();
    tests.push(Test::new("both drivers dump alike", || {
        alike(Sort::Anon4k, "dump", DUMPS, |_| Command::DumpUserPagesTest)
    }));
    tests
}

/// What came of a request.
#[derive(Debug, PartialEq)]
struct Answer {
    result: guplab::Result<()>,
    reply: Request,
    /// How memory is mapped afterwards.
    leaves: Vec<u32>,
}

/// Makes a request of a driver, on memory that is prepared as planned.
fn answer(
    driver: &GupTest,
    (session, scene): (&Session, &Scene),
    plan: &Plan,
    command: Command,
    request: &Request,
) -> Result<Answer, Not> {
    scene.prepare(plan).while_(&format!("{plan:?}"))?;
    let mut reply = *request;
    let result = driver.command(command, &mut reply);
    if result.is_ok() {
        // No two runs take the same time.
        (reply.get_delta_usec, reply.put_delta_usec) = (0, 0);
    }
    let leaves = scene.leaves(session).while_("INSPECT")?;
    Ok(Answer {
        result,
        reply,
        leaves,
    })
}

/// How many requests of each sort of outcome there were.
#[derive(Default)]
struct Tally {
    all: u32,
    some: u32,
    none: u32,
    refused: u32,
}

impl Tally {
    fn count(&mut self, asked: &Request, answer: &Answer) {
        let page = page_size() as u64;
        let counter = match (&answer.result, answer.reply.size) {
            (Err(_), _) => &mut self.refused,
            (Ok(()), 0) => &mut self.none,
            (Ok(()), size) if size / page == asked.size / page => &mut self.all,
            _ => &mut self.some,
        };
        *counter += 1;
    }
}

fn alike(sort: Sort, name: &str, requests: u32, command: impl Fn(&mut Rng) -> Command) -> Tested {
    let session = open()?;
    if !session.has(sys::GUPLAB_FEATURE_IN_TREE_GUP_TEST) {
        skip!("this kernel has no gup_test of its own (CONFIG_GUP_TEST)");
    }
    let (own, kernels) = (open_driver(Whose::Guplab)?, open_driver(Whose::Usual)?);
    let scene = Scene::new(&session, sort).while_("mapping memory")?;
    match scene.is_of_its_sort(&session) {
        Ok(true) => {}
        Ok(false) => skip!("the kernel gave no such memory"),
        Err(error) => skip!("no such memory: {error}"),
    }
    let mut rng = case_rng(seed()?, name);
    let mut tally = Tally::default();
    for number in 0..requests {
        let plan = scene.plan(&mut rng);
        let command = command(&mut rng);
        let request = request(&mut rng, &scene, &plan, command);
        let answer = |by| answer(by, (&session, &scene), &plan, command, &request);
        let (ours, theirs) = if rng.bool() {
            let ours = answer(&own)?;
            (ours, answer(&kernels)?)
        } else {
            let theirs = answer(&kernels)?;
            (answer(&own)?, theirs)
        };
        let what = format!("request {number}, {command:?} {request:x?} after {plan:?}");
        ensure_eq!(ours.result, theirs.result, format!("{what}: the result"));
        ensure_eq!(ours.reply, theirs.reply, format!("{what}: the reply"));
        let pages = || ours.leaves.iter().zip(&theirs.leaves);
        if let Some(page) = pages().position(|(ours, theirs)| ours != theirs) {
            fail!("{what}: afterwards page {page} is not mapped alike");
        }
        tally.count(&request, &ours);
    }
    let Tally {
        all,
        some,
        none,
        refused,
    } = tally;
    println!(
        "# of {requests} requests {all} brought all, {some} some, {none} nothing; {refused} were refused"
    );
    ensure!(all > 0 && all < requests, "all requests had the same end");
    Ok(())
}
