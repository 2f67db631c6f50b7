//! The user's time zone: from wherever a client tells it, remembered, and told to the model beside each message.

use chrono::{NaiveDate, Utc};
use errand_devkit::model::{Gate, Turn, request};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::system::{Answer, Options, TestSystem, rows, socket::Socket};

mod elsewhere;

const LOS_ANGELES: &str = "America/Los_Angeles";

const BERLIN: &str = "Europe/Berlin";

/// What the model was told of the time in its last request.
fn told(system: &TestSystem) -> String {
    let asked = system.model.requests().pop().expect("a request");
    request::sent(&asked).expect("a time")
}

/// The zone that is remembered.
async fn remembered(system: &TestSystem, user: &str) -> Option<String> {
    sqlx::query_scalar("select time_zone from user_settings where user_id = $1")
        .bind(user)
        .fetch_optional(&system.db)
        .await
        .unwrap()
}

fn say(system: &TestSystem, conversation: &Value, message: &str) -> RequestBuilder {
    let mut body = json!({"message": message});
    if !conversation.is_null() {
        body["conversation_id"] = conversation.clone();
    }
    system.post_chat("ada", &body)
}

/// AG-UI's input, with these fields more.
fn agent_input(system: &TestSystem, fields: Value) -> RequestBuilder {
    let mut body = json!({"threadId": uuid::Uuid::now_v7(), "runId": uuid::Uuid::now_v7(),
                          "messages": [{"id": "1", "role": "user", "content": "hi"}]});
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
    system
        .post_chat("ada", &body)
        .header("accept", "text/event-stream")
}

/// A provider's prompt cache knows a request by how it begins. Each request begins with all of the one before it, to the byte, also
/// where the user has moved meanwhile or another process builds it anew.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_begins_with_the_one_before_it() {
    let mut system = TestSystem::start().await;
    let add = |title: &str| Turn::call("add_task", json!({"title": title}));
    system.model.push(add("one").and_text("Let me see."));
    system.model.push(add("two"));
    system.model.push(Turn::text("Both are there."));
    let first = say(&system, &Value::Null, "add two tasks").header("x-time-zone", LOS_ANGELES);
    let first = Answer::of(first).await;
    let conversation = first.assert_ok()["conversation_id"].clone();
    let here = told(&system);
    assert!(here.ends_with(&format!(", {LOS_ANGELES}")), "{here}");
    // The zone is known now; and then another.
    system.model.push(Turn::call("list_tasks", json!({})));
    system.model.push(Turn::text("Two."));
    let second = Answer::of(say(&system, &conversation, "how many?")).await;
    second.assert_ok();
    assert!(told(&system).ends_with(LOS_ANGELES));
    system.start_worker().await;
    system.model.push(Turn::text("Yes."));
    let third = say(&system, &conversation, "sure?").header("x-time-zone", BERLIN);
    Answer::of(third).await.assert_ok();
    assert!(told(&system).ends_with(BERLIN));

    let requests = system.model.requests();
    assert_eq!(requests.len(), 6);
    let bytes = |messages: &[Value]| serde_json::to_string(messages).unwrap();
    for pair in requests.windows(2) {
        let (before, after) = (request::messages(&pair[0]), request::messages(&pair[1]));
        assert!(before.len() < after.len());
        assert_eq!(bytes(before), bytes(&after[..before.len()]));
        assert_eq!(pair[0]["tools"].to_string(), pair[1]["tools"].to_string());
    }
    // What everybody's requests begin with is the same, too.
    system.model.push(Turn::text("Hello."));
    system.say("bob", "hi").await.assert_ok();
    let his = system.model.requests().pop().unwrap();
    assert_eq!(his["messages"][0], requests[0]["messages"][0]);
    assert_eq!(his["tools"], requests[0]["tools"]);
    assert!(told(&system).ends_with(", UTC"));
}

/// Date, weekday, time and zone, by the user's own clock.
#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_told_the_users_own_time() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Yes."));
    let first = say(&system, &Value::Null, "hi").header("x-time-zone", "Asia/Kathmandu");
    let conversation = Answer::of(first).await.assert_ok()["conversation_id"].clone();
    let expected: String = sqlx::query_scalar(
        "select to_char(created_at at time zone 'Asia/Kathmandu', 'FMDay, YYYY-MM-DD HH24:MI') || ', Asia/Kathmandu' from runs",
    )
    .fetch_one(&system.db)
    .await
    .unwrap();
    assert_eq!(told(&system), expected);
    // Days later that is still when it was said.
    sqlx::raw_sql("update runs set created_at = '2026-03-01T20:30:00Z'")
        .execute(&system.db)
        .await
        .unwrap();
    Answer::of(say(&system, &conversation, "and now?"))
        .await
        .assert_ok();
    let asked = system.model.requests().pop().unwrap();
    assert_eq!(
        request::messages(&asked)[1]["content"],
        "hi\n\n[Sent: Monday, 2026-03-02 02:15, Asia/Kathmandu]"
    );
    // What is stored of the message is what was said.
    let noted = "select count(*) from messages where content like '%Sent:%'";
    assert_eq!(system.count(noted).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_taken_from_wherever_a_client_tells_it_and_remembered() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Yes."));
    assert_eq!(remembered(&system, "ada").await, None);
    system.say("ada", "hi").await.assert_ok();
    assert!(told(&system).ends_with(", UTC"));
    let context = |description: &str, value: Value| {
        json!({"context": [{"description": "The weather", "value": "rain"},
                                                                       {"description": description, "value": value}]})
    };
    let header =
        |zone: &str| say(&system, &Value::Null, "hi").header("x-time-zone", zone.to_owned());
    let metadata = |zone: Value| {
        system.post_chat(
            "ada",
            &json!({"message": "hi", "metadata": {"source": "test", "time_zone": zone}}),
        )
    };
    for (told_so, zone) in [
        (header("Asia/Tokyo"), "Asia/Tokyo"),
        (metadata(json!("Africa/Cairo")), "Africa/Cairo"),
        // The message's own goes before that of the whole request.
        (
            metadata(json!("Europe/Paris")).header("x-time-zone", "Asia/Tokyo"),
            "Europe/Paris",
        ),
        (metadata(Value::Null), "Europe/Paris"),
        (
            agent_input(
                &system,
                json!({"forwardedProps": {"timeZone": "Asia/Dubai"}}),
            ),
            "Asia/Dubai",
        ),
        (
            agent_input(
                &system,
                context("The user's time zone (IANA)", json!("America/Bogota")),
            ),
            "America/Bogota",
        ),
        // As some front ends send every value.
        (
            agent_input(&system, context("timezone", json!("\"America/Lima\""))),
            "America/Lima",
        ),
        (
            agent_input(
                &system,
                json!({"context": [], "forwardedProps": "anything"}),
            ),
            "America/Lima",
        ),
        (
            agent_input(&system, json!({"forwardedProps": {}})).header("x-time-zone", "Asia/Seoul"),
            "Asia/Seoul",
        ),
    ] {
        Answer::of(told_so).await.assert_ok();
        assert!(
            told(&system).ends_with(&format!(", {zone}")),
            "{zone}: {}",
            told(&system)
        );
        assert_eq!(remembered(&system, "ada").await.as_deref(), Some(zone));
    }
    let mut socket = Socket::connect(&system, "ada").await;
    let start = json!({"message": "hi", "timeZone": BERLIN});
    let started = socket.call("run.start", start).await;
    socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    assert!(told(&system).ends_with(BERLIN), "{started}");
    // Nobody else's, and not written anew while it stays the same.
    assert_eq!(remembered(&system, "bob").await, None);
    let row = "select xmin::text from user_settings where user_id = 'ada'";
    let written: String = sqlx::query_scalar(row).fetch_one(&system.db).await.unwrap();
    Answer::of(header(BERLIN)).await.assert_ok();
    let again: String = sqlx::query_scalar(row).fetch_one(&system.db).await.unwrap();
    assert_eq!(written, again);
}

/// A run knows its user's zone from when it was accepted. Who has gone elsewhere meanwhile is shown the day of there.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_by_the_zone_of_the_moment_in_which_it_is_read() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    let add = json!({"title": "rent", "due_date": "2031-05-01"});
    system.model.push(Turn::call("add_task", add));
    system.model.push(Turn::text("Added."));
    let looks = Turn::call("list_tasks", json!({})).and_text("Looking");
    system.model.push(looks.gate_after(1, &gate));
    system.model.push(Turn::text("That is all."));
    // Between the two it is never the same day.
    let header = |zone: &'static str, message: &'static str| {
        say(&system, &Value::Null, message).header("x-time-zone", zone)
    };
    Answer::of(header("Pacific/Niue", "add rent"))
        .await
        .assert_ok();
    let asked = tokio::spawn(header("Pacific/Kiritimati", "what is there?").send());
    let is_asked = "select count(*) from runs where status = 'running'";
    system.until(is_asked, 1).await;
    let moved = "update user_settings set time_zone = 'Pacific/Niue' where user_id = 'ada'";
    rows::execute(&system.db, moved).await;
    gate.open();
    let body: Value = asked.await.unwrap().unwrap().json().await.unwrap();
    let due = &body["tool_calls"][0]["result"]["tasks"][0]["due"];
    let there = Utc::now()
        .with_timezone(&chrono_tz::Pacific::Niue)
        .date_naive();
    let days = ("2031-05-01".parse::<NaiveDate>().unwrap() - there).num_days();
    assert_eq!(
        due,
        &json!(format!("Thu, 1 May 2031, in {days} days")),
        "{body}"
    );
}

/// An unknown zone is refused by the name of its field, and nothing is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_zone_is_400() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let bad = [
        "",
        "Berlin",
        "europe/berlin",
        "+02:00",
        "Europe/Berlin; drop",
        "../../etc/passwd",
    ];
    let id = "01890000-0000-7000-8000-000000000000";
    for zone in bad {
        let metadata = json!({"message": "hi", "metadata": {"time_zone": zone}});
        let context = json!({"context": [{"description": "time zone", "value": zone}]});
        let post =
            |path: String, body: Value| system.request(Method::POST, "ada", &path).json(&body);
        for (request, field) in [
            (
                say(&system, &Value::Null, "hi").header("x-time-zone", zone),
                "X-Time-Zone",
            ),
            (
                post(format!("runs/{id}/retry"), json!({})).header("x-time-zone", zone),
                "X-Time-Zone",
            ),
            (
                post(format!("runs/{id}/decision"), json!({"approve": true}))
                    .header("x-time-zone", zone),
                "X-Time-Zone",
            ),
            (system.post_chat("ada", &metadata), "metadata.time_zone"),
            (agent_input(&system, context), "context"),
            (
                agent_input(&system, json!({"forwardedProps": {"timeZone": zone}})),
                "forwardedProps.timeZone",
            ),
            (
                agent_input(&system, json!({})).header("x-time-zone", zone),
                "X-Time-Zone",
            ),
        ] {
            let refused = Answer::of(request).await;
            let details = refused.assert_error(400, "invalid_request");
            assert_eq!(details["field"], field, "{zone}: {}", refused.body);
        }
    }
    let twice = say(&system, &Value::Null, "hi")
        .header("x-time-zone", BERLIN)
        .header("x-time-zone", BERLIN);
    Answer::of(twice).await.assert_error(400, "invalid_request");
    for value in [json!(7), json!(["Europe/Berlin"]), json!({})] {
        let body = json!({"message": "hi", "metadata": {"time_zone": value}});
        let refused = Answer::of(system.post_chat("ada", &body)).await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], "metadata.time_zone");
        let input = agent_input(&system, json!({"forwardedProps": {"timeZone": value}}));
        Answer::of(input).await.assert_error(400, "invalid_request");
    }
    let mut socket = Socket::connect(&system, "ada").await;
    for (method, mut params) in [
        ("run.start", json!({"message": "hi"})),
        ("run.retry", json!({"runId": id})),
        ("run.decide", json!({"runId": id, "approve": true})),
    ] {
        params["timeZone"] = json!("Mars/Olympus");
        let answer = socket.call(method, params).await;
        assert_eq!(answer["error"], "invalid_request", "{method}: {answer}");
        assert!(
            answer["message"].as_str().unwrap().contains("timeZone"),
            "{answer}"
        );
    }
    assert_eq!(system.count("select count(*) from runs").await, 0);
    assert_eq!(system.count("select count(*) from user_settings").await, 0);
}
