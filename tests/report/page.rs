//! The page of `zoetrope plan --html` in a browser, if there is one: what is drawn, what pointing and searching show.

use std::borrow::Cow;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headless_chrome::browser::default_executable;
use headless_chrome::browser::tab::point::Point;
use headless_chrome::protocol::cdp::Log::LogEntryLevel;
use headless_chrome::protocol::cdp::Page::CaptureScreenshotFormatOption::Png;
use headless_chrome::protocol::cdp::types::Event;
use headless_chrome::{Browser, LaunchOptions, Tab};
use zoetrope::report::{Report, page};
use zoetrope_runtime::plan::{Plan, Segment};

/// A browser; says why where there is none.
fn browser() -> Option<Browser> {
    let path = match default_executable() {
        Ok(path) => path,
        Err(why) => {
            // Past the capture of the test harness: a skip must be seen.
            let _ = writeln!(std::io::stderr(), "skipped 1 test: no Chromium to show the page in ({why})");
            return None;
        }
    };
    // Containers run tests as root, where Chromium has no sandbox. The page is our own.
    let options = LaunchOptions::default_builder()
        .path(Some(path))
        .sandbox(false)
        .window_size(Some((1400, 1000)))
        .idle_browser_timeout(Duration::from_secs(300))
        .build()
        .expect("all options have values");
    Some(Browser::new(options).expect("Chromium starts"))
}

/// Opens a page; every error that the browser reports is kept.
fn open(browser: &Browser, path: &Path) -> (Arc<Tab>, Arc<Mutex<Vec<String>>>) {
    let tab = browser.new_tab().expect("a tab");
    tab.set_default_timeout(Duration::from_secs(60));
    let errors: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&errors);
    let listen = move |event: &Event| {
        let text = match event {
            Event::RuntimeExceptionThrown(e) => format!("{:?}", e.params),
            Event::RuntimeConsoleAPICalled(e) => format!("{:?}", e.params),
            // The browser also gives advice, at lower levels.
            Event::LogEntryAdded(e) if e.params.entry.level == LogEntryLevel::Error => {
                format!("{:?}", e.params)
            }
            _ => return,
        };
        kept.lock().unwrap().push(text);
    };
    tab.add_event_listener(Arc::new(listen)).expect("a listener");
    tab.enable_runtime().expect("events of the script");
    tab.enable_log().expect("events of the browser");
    tab.navigate_to(&format!("file://{}", path.display()))
        .and_then(|t| t.wait_until_navigated())
        .expect("the page");
    (tab, errors)
}

/// The text that an expression of the page's script has.
fn ask(tab: &Tab, expression: &str) -> String {
    let drawn = format!(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(String({expression})))))"
    );
    let answer = tab.evaluate(&drawn, true).expect("the page answers").value;
    answer.as_ref().and_then(|v| v.as_str()).unwrap_or_else(|| panic!("{expression}: no text")).to_string()
}

/// Points at the middle of the buffer that takes the largest room in the picture of memory.
fn point_at_largest(tab: &Tab) -> Point {
    let at = "(() => { const c = $('memory'); c.scrollIntoView({ block: 'center' });
        const room = b => place(b, c.clientWidth, c.clientHeight), size = b => b ? b[2] * b[3] : 0;
        const b = phase().buffers.reduce((a, b) => size(room(b)) > size(room(a)) ? b : a), r = room(b);
        const box = c.getBoundingClientRect();
        return [box.left + 1 + r[0] + r[2] / 2, box.top + 1 + r[1] + r[3] / 2, b.bytes, b.lifetime].join(' ');
    })()";
    let answer = ask(tab, at);
    let words: Vec<_> = answer.split(' ').collect();
    let point = Point { x: words[0].parse().unwrap(), y: words[1].parse().unwrap() };
    tab.move_mouse_to_point(point).expect("the mouse moves");
    let tip = ask(tab, "$('tip').hidden ? '' : $('tip').textContent");
    for word in [&format!("({} bytes)", words[2]), words[3], "alive from launch"] {
        assert!(tip.contains(word), "{word:?} is not in {tip:?}");
    }
    assert!(tip.contains("made by launch") || tip.contains("written by the host"), "{tip:?}");
    point
}

/// How many colours a screenshot has.
fn colours(screenshot: &[u8]) -> usize {
    let decoder = png::Decoder::new(std::io::Cursor::new(screenshot));
    let mut reader = decoder.read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("whole");
    let size = info.color_type.samples();
    pixels.chunks(size).collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn the_page_shows_answers_and_filters() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.html");
    super::said(&["--html", path.to_str().unwrap()]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    let text = fs::read_to_string(&path).unwrap();
    let own = ["http:", "https:", "src=", "@import"].iter().all(|word| !text.contains(word));
    assert!(own, "the page names something outside of itself");

    let (tab, errors) = open(&browser, &path);
    for phase in 0..zoetrope_generated::PLANS[0].phases.len() {
        ask(&tab, &format!("setPhase({phase})"));
        let painted = "(c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })($('memory'))";
        assert!(ask(&tab, painted).parse::<u64>().unwrap() > 1000, "phase {phase} is drawn");
    }
    ask(&tab, "setPhase(3)");
    point_at_largest(&tab);
    let screenshot = tab.capture_screenshot(Png, None, None, true).expect("a screenshot");
    if let Some(folder) = std::env::var_os("ZOETROPE_SCREENSHOTS") {
        fs::write(Path::new(&folder).join("plan.png"), &screenshot).unwrap();
    }
    assert!(colours(&screenshot) > 20, "the screenshot is blank");

    let before = ask(&tab, "$('launch-count').textContent");
    tab.find_element("#search")
        .unwrap()
        .click()
        .unwrap()
        .type_into("attention")
        .expect("the search box takes text");
    let (after, listed) = (ask(&tab, "$('launch-count').textContent"), ask(&tab, "$('launches').innerText"));
    assert_ne!(before, after);
    let listed: Vec<_> = listed.lines().skip(1).filter(|line| !line.is_empty()).collect();
    assert!(!listed.is_empty() && listed.iter().all(|line| line.contains("attention")), "{listed:?}");
    ask(&tab, "setCard(6)");
    assert!(ask(&tab, "launchText(phase().rows[0])").contains("RTX 3060"));
    assert_eq!(*errors.lock().unwrap(), [""; 0], "errors in the browser");
}

/// The step of a phase, written out so often that it has as many launches as a whole film of chunks.
fn long(plan: &Plan, launches: u32) -> Plan {
    let mut long = plan.clone();
    let mut phase = plan.phase("denoise-2").expect("a second stage").clone();
    let size: u32 = phase.segments.iter().map(Segment::launches).sum();
    let copies = launches / size;
    phase.segments = Cow::Owned((0..copies).flat_map(|_| phase.segments.to_vec()).collect());
    let own: Vec<_> =
        plan.buffers.iter().filter(|b| b.first >= phase.first && b.last < phase.first + size).collect();
    let copied = (0..copies).flat_map(|copy| {
        own.iter().map(move |b| {
            let mut b = (*b).clone();
            (b.first, b.last) = (b.first + copy * size, b.last + copy * size);
            b
        })
    });
    long.buffers = Cow::Owned(copied.collect());
    long.phases = Cow::Owned(vec![phase]);
    long
}

#[test]
fn ten_thousand_launches_stay_usable() {
    let Some(browser) = browser() else { return };
    let plan = long(zoetrope_generated::PLANS[0], 10_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.html");
    let began = Instant::now();
    let text = page(&Report::of(&plan));
    println!("page: {:.1} MB in {:.2?}", text.len() as f64 / 1e6, began.elapsed());
    fs::write(&path, text).unwrap();
    let began = Instant::now();
    let (tab, errors) = open(&browser, &path);
    let rows: usize = ask(&tab, "phase().rows.length").parse().unwrap();
    println!("opened with {rows} launches in {:.2?}", began.elapsed());
    assert!(rows > 9_000);
    let mut times = Vec::new();
    for expression in ["(drawMemory(), drawBars())", "($('search').value = 'attn1', $('search').oninput())"] {
        let timed = format!(
            "(() => {{ const t = performance.now(); {expression}; return performance.now() - t; }})()"
        );
        times.push(ask(&tab, &timed).parse::<f64>().unwrap());
    }
    println!("drawn in {:.0} ms, searched in {:.0} ms", times[0], times[1]);
    // Far above what was seen, for machines that do other things too.
    assert!(times.iter().all(|ms| *ms < 3_000.0), "{times:?} ms");
    tab.evaluate("$('search').value = ''; $('search').oninput()", false).unwrap();
    point_at_largest(&tab);
    if let Some(folder) = std::env::var_os("ZOETROPE_SCREENSHOTS") {
        let screenshot = tab.capture_screenshot(Png, None, None, true).expect("a screenshot");
        fs::write(Path::new(&folder).join("long.png"), &screenshot).unwrap();
    }
    assert_eq!(*errors.lock().unwrap(), [""; 0], "errors in the browser");
}
