#!/bin/sh
# Plays an agent's command line: called by the name of the tool, it takes the prompt, then follows the script of the
# test in the scratch folder: `script.STAGE.VISIT.ATTEMPT`, else `script.STAGE`.
#
# What a script may use:
#   $prompt                 the prompt, as it came
#   says EVENT...           writes event lines to stdout
#   begins                  the first event of the tool's format
#   ends                    the terminal event of a success
#   fails STATUS WORDS      the terminal event of an error
#   artifact PATH WORDS     writes front matter `status: WORDS` and a body to a path of the worktree
set -u
tool=$(basename "$0")
scratch=$(dirname "$(dirname "$0")")
for word in "$@"; do printf '%s\n' "$word"; done > "$ORCH_ATTEMPT_DIR/argv"
file=
last=
for word in "$@"; do
  if [ "$last" = --message-file ]; then file=$word; fi
  last=$word
done
if [ -n "$file" ]; then prompt=$(cat -- "$file"); else prompt=$(cat); fi
printf '%s\n' "$prompt" > "$ORCH_ATTEMPT_DIR/prompt"
umask > "$ORCH_ATTEMPT_DIR/umask"

says() { printf '%s\n' "$@"; }

begins() {
  case $tool in
    claude) says '{"type":"system","subtype":"init","session_id":"11111111-2222","tools":[]}' ;;
    codex) says '{"type":"thread.started","thread_id":"th-1"}' '{"type":"turn.started"}' ;;
    gemini) says '{"type":"init","session_id":"ge-1","model":"m"}' ;;
    opencode) says '{"type":"step_start","sessionID":"ses_1","part":{}}' ;;
  esac
}

ends() {
  case $tool in
    claude) says '{"type":"result","subtype":"success","is_error":false,"num_turns":3,"result":"done","total_cost_usd":0.0125,"usage":{"input_tokens":100,"cache_read_input_tokens":20,"output_tokens":30},"session_id":"11111111-2222"}' ;;
    codex) says '{"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":20,"output_tokens":30}}' ;;
    gemini) says '{"type":"result","status":"success","stats":{"total_tokens":130,"input_tokens":100,"output_tokens":30}}' ;;
    opencode) says '{"type":"step_finish","sessionID":"ses_1","part":{"reason":"stop","cost":0.0125,"tokens":{"input":100,"output":30,"cache":{"read":0}}}}' ;;
  esac
}

fails() {
  status=$1
  shift
  case $tool in
    claude) says '{"type":"result","subtype":"success","is_error":true,"api_error_status":'"$status"',"result":"'"$*"'","session_id":"11111111-2222"}' ;;
    codex) says '{"type":"turn.failed","error":{"message":"'"$*"'"}}' ;;
    gemini) says '{"type":"result","status":"error","error":{"type":"Error","message":"'"$*"'","code":'"$status"'}}' ;;
    opencode) says '{"type":"error","sessionID":"ses_1","error":{"name":"APIError","data":{"message":"'"$*"'","statusCode":'"$status"'}}}' ;;
  esac
}

artifact() {
  mkdir -p "$(dirname "$1")"
  printf -- '---\nstatus: %s\n---\n\n# Work\n\nDone as asked.\n' "$2" > "$1"
}

# The prompts of the tests end in `Call VISIT.ATTEMPT.`: a contained agent cannot count in the scratch folder.
call=$(printf '%s\n' "$prompt" | sed -n 's/^Call \([0-9.]*\)\.$/\1/p' | tail -n 1)
if [ -f "$scratch/script.$ORCH_STAGE.$call" ]; then . "$scratch/script.$ORCH_STAGE.$call"
elif [ -f "$scratch/script.$ORCH_STAGE" ]; then . "$scratch/script.$ORCH_STAGE"
fi
