//! Chromium without a window, asked through its DevTools protocol: JSON over a WebSocket
//! (chromedevtools.github.io/devtools-protocol).

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// What the program is called, by who packs it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// How long anything may take. Far above what was seen, for machines that do other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    program: Child,
    socket: WebSocket<TcpStream>,
    /// Names the page in what is asked; none until there is one.
    page: Option<String>,
    asked: u64,
    loaded: bool,
    /// What the browser and the page's script complained of.
    pub errors: Vec<String>,
    /// Goes away behind the program that writes there.
    _profile: TempDir,
}

impl Browser {
    /// The first Chromium that is found, with an empty page.
    ///
    /// # Errors
    /// There is none.
    pub fn start() -> Result<Browser, String> {
        let answers =
            |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
        let name = NAMES.into_iter().find(answers).ok_or(format!("none of {}", NAMES.join(", ")))?;
        let profile = tempfile::tempdir().expect("a folder");
        // Containers run tests as root, where Chromium has no sandbox. The page is our own.
        let program = Command::new(name)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--window-size=1400,1000",
            ])
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a program that tells its version starts");
        let (port, path) = address(profile.path());
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("Chromium listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = tungstenite::client(url, stream).expect("Chromium speaks the protocol");
        let (asked, loaded, errors) = (0, false, Vec::new());
        let mut browser = Browser { program, socket, page: None, asked, loaded, errors, _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let params = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", params);
        browser.page = attached["sessionId"].as_str().map(String::from);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Ok(browser)
    }

    /// Shows a file, and waits until all of it is there.
    pub fn open(&mut self, path: &Path) {
        self.loaded = false;
        let answer = self.call("Page.navigate", json!({"url": format!("file://{}", path.display())}));
        assert!(answer["errorText"].is_null(), "{answer}");
        while !self.loaded {
            self.next();
        }
    }

    /// The text that an expression of the page's script has, once what it changes is drawn.
    pub fn ask(&mut self, expression: &str) -> String {
        let drawn = format!(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(String({expression})))))"
        );
        let answer = self.call("Runtime.evaluate", json!({"expression": drawn, "awaitPromise": true}));
        let text = answer["result"]["value"].as_str();
        text.unwrap_or_else(|| panic!("{expression}: {answer}")).to_string()
    }

    /// Moves the pointer to a place of the window, in pixels.
    pub fn point(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// Presses and lets go of the left button.
    pub fn click(&mut self, x: f64, y: f64) {
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", params);
        }
    }

    /// Types where the focus is.
    pub fn write(&mut self, text: &str) {
        for c in text.chars() {
            self.call("Input.dispatchKeyEvent", json!({"type": "char", "text": c}));
        }
    }

    /// The window, as a PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        BASE64_STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base 64")
    }

    /// Asks, and waits for the answer.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params});
        if let Some(page) = &self.page {
            message["sessionId"] = json!(page);
        }
        self.socket.send(Message::text(message.to_string())).expect("Chromium takes messages");
        loop {
            let mut message = self.next();
            if message["id"] == self.asked {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }

    /// The next message; what an event says is kept.
    fn next(&mut self) -> Value {
        let message = self.socket.read().expect("Chromium answers in time");
        let message: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
        let complains = match message["method"].as_str() {
            Some("Page.loadEventFired") => {
                self.loaded = true;
                false
            }
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => true,
            // The browser also gives advice, at lower levels.
            Some("Log.entryAdded") => message["params"]["entry"]["level"] == "error",
            _ => false,
        };
        if complains {
            self.errors.push(message["params"].to_string());
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Port and path, which Chromium writes to a file of its profile.
fn address(profile: &Path) -> (u16, String) {
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
        if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| !path.is_empty()) {
            return (port.parse().expect("a port"), path.trim().to_string());
        }
        assert!(began.elapsed() < PATIENCE, "Chromium does not say where it listens");
        std::thread::sleep(Duration::from_millis(20));
    }
}
