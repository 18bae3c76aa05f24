"""Every word of the approval page, in both languages. Knows no plan: the service's own texts are shown as they are."""

from collections.abc import Mapping
from typing import Literal

Language = Literal["en-US", "ko-KR"]

# key: (English, Korean). A text in braces is filled in.
TABLE: Mapping[str, tuple[str, str]] = {
    "product": ("SCP AI&MLOps Platform assistant", "SCP AI&MLOps Platform 어시스턴트"),
    "skip": ("Skip to the decision", "결정란으로 바로 가기"),
    # The plan
    "plan_title": ("Approve or deny a change", "변경 승인 또는 거부"),
    "asked": ("Your assistant asks for this change:", "어시스턴트가 다음 변경을 요청합니다."),
    "not_yet": (
        "Nothing has been sent yet. It is sent only if you approve.",
        "아직 아무것도 전송되지 않았습니다. 승인해야만 전송됩니다.",
    ),
    "where": ("Where", "대상 위치"),
    "region": ("Region", "리전"),
    "environment": ("Environment", "환경"),
    "account": ("Account", "계정"),
    "endpoint": ("Endpoint", "엔드포인트"),
    "api_version": ("API version", "API 버전"),
    "lost": ("What is lost", "사라지는 것"),
    "nothing_lost": ("No loss is known.", "알려진 손실이 없습니다."),
    "live": ("Present state", "현재 상태"),
    "no_live": ("Nothing exists yet.", "아직 존재하지 않습니다."),
    "checks": ("Checks", "사전 점검"),
    "no_checks": ("This change has no checks.", "이 변경에는 사전 점검이 없습니다."),
    "finding_pass": ("pass", "통과"),
    "finding_stop": ("fail", "실패"),
    "finding_advice": ("fail, inferred", "실패 (추정)"),
    "finding_unknown": ("could not check", "확인 불가"),
    "request": ("Exact request", "정확한 요청"),
    "method": ("Method", "메서드"),
    "url": ("URL", "URL"),
    "body": ("Body", "본문"),
    "no_body": ("No body is sent.", "본문 없이 전송됩니다."),
    "undo": ("How it can be taken back", "되돌리는 방법"),
    "asker": ("Who asks", "요청자"),
    "asker_unknown": ("not told", "알 수 없음"),
    "client": ("Client", "클라이언트"),
    "until": ("Until when", "결정 기한"),
    "tool": ("Tool", "도구"),
    "plan_id": ("Plan", "계획 번호"),
    "in_minutes": ("in {n} minutes", "{n}분 남음"),
    "in_a_minute": ("in less than 2 minutes", "2분 미만 남음"),
    "left": ("{time} left", "{time} 남음"),
    "soon": ("Less than one minute is left to decide.", "결정 시간이 1분도 남지 않았습니다."),
    "ran_out": (
        "Time is up: this plan has expired and nothing was sent. Ask your assistant again.",
        "시간이 다 되어 이 계획이 만료되었고 아무것도 전송되지 않았습니다. 어시스턴트에게 다시 요청하세요.",
    ),
    # The decision
    "decide": ("Your decision", "결정"),
    "type_names": (
        "To approve, type each name exactly as it is shown. To deny, leave them empty.",
        "승인하려면 이름을 표시된 그대로 입력하세요. 거부하려면 비워 두세요.",
    ),
    "label_release_name": ("Type the platform's exact name", "플랫폼의 정확한 이름을 입력하세요"),
    "label_cluster_name": ("Type the cluster's exact name", "클러스터의 정확한 이름을 입력하세요"),
    "expected": ("The name is", "이름:"),
    "give_password": (
        "To approve, choose the password of the platform's first user. It goes into the request and is stored nowhere "
        "else; your assistant never sees it.",
        "승인하려면 플랫폼 첫 사용자의 비밀번호를 정하세요. 요청에만 사용되고 다른 곳에 저장되지 않으며, "
        "어시스턴트는 볼 수 없습니다.",
    ),
    "password": ("Password of the first user", "첫 사용자의 비밀번호"),
    "password_again": ("The same password again", "비밀번호 다시 입력"),
    "approve": ("Approve and send", "승인하고 전송"),
    "approve_destructive": ("Approve and destroy for good", "승인하고 영구 삭제"),
    "deny": ("Deny", "거부"),
    "error": ("Error", "오류"),
    "not_approved": ("Not approved yet", "아직 승인되지 않았습니다"),
    "wrong_name": (
        "This is not the exact name. Type it as it is shown, with the same capital letters and no spaces around it.",
        "이름이 정확하지 않습니다. 대소문자까지 같게, 앞뒤 공백 없이 표시된 그대로 입력하세요.",
    ),
    "no_name": ("The name is missing. Type it as it is shown.", "이름이 비어 있습니다. 표시된 그대로 입력하세요."),
    "no_password": ("The password is missing.", "비밀번호가 비어 있습니다."),
    "other_password": ("The two passwords are not the same.", "두 비밀번호가 서로 다릅니다."),
    "password_anew": (
        "Passwords are not kept: type both again.",
        "비밀번호는 보관되지 않으므로 두 칸 모두 다시 입력하세요.",
    ),
    "tries_left": ("Wrong names are counted. Tries left: {n}.", "틀린 이름은 횟수에 포함됩니다. 남은 횟수: {n}."),
    # After it
    "approved_title": ("Approved", "승인됨"),
    "approved": (
        "Your approval is recorded. It counts once, for exactly this request.",
        "승인이 기록되었습니다. 이 요청에 한 번만 유효합니다.",
    ),
    "approved_next": (
        "Your assistant goes on by itself. If it has already stopped, ask it to call the tool again with the same "
        "arguments before {until}.",
        "어시스턴트가 자동으로 계속합니다. 이미 멈췄다면 {until} 전에 같은 인수로 도구를 다시 호출하도록 요청하세요.",
    ),
    "denied_title": ("Denied", "거부됨"),
    "denied": ("Your refusal is recorded. Nothing was sent.", "거부가 기록되었습니다. 아무것도 전송되지 않았습니다."),
    "denied_next": (
        "Your assistant is told by itself, or when it calls again.",
        "어시스턴트에게 자동으로, 또는 다음 호출 때 전달됩니다.",
    ),
    "close": ("You can close this page.", "이 페이지를 닫아도 됩니다."),
    # The list
    "list_title": ("Plans", "계획 목록"),
    "waiting_plans": ("Waiting for you", "결정 대기 중"),
    "past_plans": ("Past plans", "지난 계획"),
    "none_waiting": ("No plan is waiting.", "대기 중인 계획이 없습니다."),
    "none_past": ("There is no past plan.", "지난 계획이 없습니다."),
    "open": ("Look and decide", "확인하고 결정하기"),
    "open_elsewhere": (
        "Asks for a password: use the link that its own assistant gave.",
        "비밀번호가 필요합니다. 해당 어시스턴트가 준 링크를 사용하세요.",
    ),
    "tries_used": ("Too many wrong names were typed.", "틀린 이름을 너무 많이 입력했습니다."),
    "made": ("Made", "생성"),
    "decided": ("Decided", "결정"),
    "by": ("by", "결정 경로:"),
    "status": ("Status", "상태"),
    "status_waiting": ("waiting", "대기 중"),
    "status_approved": ("approved", "승인됨"),
    "status_denied": ("denied", "거부됨"),
    "status_expired": ("expired", "만료됨"),
    "status_started": ("sent, no answer yet", "전송됨, 응답 대기"),
    "status_committed": ("done", "완료"),
    "status_absent": ("did not happen", "실행되지 않음"),
    "status_unknown": ("sent, outcome unknown", "전송됨, 결과 알 수 없음"),
    # What cannot be shown
    "unknown_title": ("This link is not valid", "유효하지 않은 링크입니다"),
    "unknown": (
        "There is nothing here. Open the whole link that your assistant gave, or ask it for a new one.",
        "이 주소에는 아무것도 없습니다. 어시스턴트가 준 링크 전체를 열거나 새 링크를 요청하세요.",
    ),
    "gone_title": ("This link is no longer valid", "더 이상 유효하지 않은 링크입니다"),
    "gone": (
        "A link serves for one decision, and only for a short time. Nothing was changed by opening it.",
        "링크는 한 번의 결정에만, 짧은 시간 동안만 쓸 수 있습니다. 이 링크를 열어도 아무것도 변경되지 않았습니다.",
    ),
    "gone_status": ("Status of the plan", "계획의 상태"),
    "refused_title": ("Not accepted", "받아들일 수 없는 요청입니다"),
    "refused": (
        "This request did not come from the approval page itself, so nothing was decided. Open the link again and "
        "decide there.",
        "승인 페이지에서 보낸 요청이 아니므로 아무것도 결정되지 않았습니다. 링크를 다시 열어 결정하세요.",
    ),
    "busy_title": ("Too many tries", "시도가 너무 많습니다"),
    "busy_keys": (
        "Too many invalid links were opened. Wait a minute, then open your link again.",
        "잘못된 링크가 너무 많이 열렸습니다. 1분 뒤 링크를 다시 여세요.",
    ),
    "busy_names": (
        "Too many wrong names were typed, so this link no longer works. Nothing was sent. The plan ends by itself; "
        "ask your assistant again if you want the change.",
        "틀린 이름을 너무 많이 입력하여 링크를 더 이상 쓸 수 없습니다. 아무것도 전송되지 않았습니다. "
        "계획은 자동으로 만료되며, 변경을 원하면 어시스턴트에게 다시 요청하세요.",
    ),
    "broken_title": ("The page failed", "페이지 오류"),
    "broken": (
        "Your decision may not be recorded, and nothing is sent without one. Open the link again; if it fails again, "
        "read the server's log.",
        "결정이 기록되지 않았을 수 있으며, 결정 없이는 아무것도 전송되지 않습니다. 링크를 다시 여세요. "
        "계속 실패하면 서버 로그를 확인하세요.",
    ),
}


def words(language: Language) -> dict[str, str]:
    """The words in one language, by key."""
    column = 0 if language == "en-US" else 1
    return {key: row[column] for key, row in TABLE.items()}
