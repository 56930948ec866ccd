# The far side of a staging-runner. POSIX sh on Linux; nothing is installed. It comes over stdin, behind a header that
# sets: o_n nonce, o_id attempt, o_mode, o_tick_s, o_grace_s, o_look_s, o_blocks, o_from_out, o_from_err, o_olds (attempts
# to be ended before this one starts), and the functions argv_, env_, far_, cwd_, seen_.
# o_r says whose part is played: launch (the ssh session), supervise, watch. o_p holds this very text. `argv_ x y` runs
# x y with the words of the command behind it. All names begin with o_, so that none is one of the host's environment,
# which the suite would find changed; what is unset before it is set was exported by somebody and is not any more.
# The nonce is in no argument, no environment and no file until the suite has ended.
say() { printf '\nORCH %s %s\n' "$o_n" "$*" >&2; }

# Processes of the suite: those of its session, and those that carry the attempt's mark. A session's number may be
# another's by now (the host was started anew, the number was used again): it counts while its leader is the one that
# was noted, or for the one who has waited for that leader.
family() {
  o_f=
  o_s=0
  [ -s "$o_d/suite" ] && read -r o_s o_s_t o_s_b <"$o_d/suite"
  if [ "$o_s" != 0 ] && [ "$o_r" != supervise ]; then
    boot
    started_at "$o_s"
    { [ "$o_b" = "$o_s_b" ] && [ "$o_t" = "$o_s_t" ]; } || o_s=0
  fi
  if [ -z "$o_nul" ]; then
    # A grep that stops at NUL bytes finds no mark in an environment.
    printf 'a\000b\n' | LC_ALL=C grep -q b && o_nul=seen || o_nul=stops
  fi
  for o_q in $([ "$o_s" = 0 ] || LC_ALL=C grep -lE "^[0-9]+ \(.*\) [^Z ] [0-9-]+ [0-9-]+ $o_s " /proc/[0-9]*/stat 2>/dev/null; marked); do
    o_q=${o_q#/proc/}
    o_q=${o_q%/*}
    case " $o_f " in *" $o_q "*) ;; *) [ -d "/proc/$o_q" ] && o_f="$o_f $o_q" ;; esac
  done
}
marked() {
  if [ "$o_nul" = seen ]; then
    LC_ALL=C grep -l "ORCH_FAR_ATTEMPT=$o_id" /proc/[0-9]*/environ 2>/dev/null
    return
  fi
  for o_q in /proc/[0-9]*; do
    [ -O "$o_q" ] && tr '\000' '\n' <"$o_q/environ" 2>/dev/null | grep -q "^ORCH_FAR_ATTEMPT=$o_id\$" && echo "$o_q/environ"
  done
}
hit() { [ -n "$o_f" ] && kill "$1" $o_f 2>/dev/null; }
# Asks, waits the grace, kills; $1 is `now` for no grace. Bounded, as everything here is.
put_down() {
  o_i=0
  if [ "$1" != now ]; then
    family
    hit -TERM
    hit -CONT
    while [ "$o_i" -lt "$((o_grace_s * 10))" ] && [ -n "$o_f" ]; do
      sleep 0.1
      o_i=$((o_i + 1))
      [ -e "$o_d/end" ] && return
      family
    done
  fi
  o_i=0
  while [ "$o_i" -lt 40 ]; do
    family
    [ -z "$o_f" ] && return
    hit -KILL
    sleep 0.05
    o_i=$((o_i + 1))
  done
}
started_at() { # of process $1: its start time, which no later process of that number shares
  { read -r o_l <"/proc/$1/stat"; } 2>/dev/null || { o_t=none; return; }
  o_l=${o_l##*) }
  set -- $o_l
  case $1 in Z | X) o_t=none ;; *) shift 19; o_t=$1 ;; esac
}
# Whether the suite itself is over, whatever it left behind.
over() {
  [ -e "$o_d/end" ] && return 0
  [ -s "$o_d/suite" ] && read -r o_s o_s_t o_s_b <"$o_d/suite" || return 1
  started_at "$o_s"
  [ "$o_t" != "$o_s_t" ]
}

# Each process less is a millisecond less.
bytes() { if [ -s "$1" ]; then wc -c <"$1"; else echo 0; fi; }
boot() { read -r o_b </proc/sys/kernel/random/boot_id || o_b=none; }

kept() { [ -e "$o_d/$1.done" ] || [ -e "$o_d/$1.cut" ]; }
# Nothing began, and nothing will.
never() { : >"$o_d/void"; exit 0; }
supervise() {
  exec </dev/null >/dev/null 2>/dev/null
  # A trap, and not deafness, which the suite would inherit.
  trap ':' HUP TERM INT
  # A bash that is called sh says nothing of signals, unless it is told to be itself.
  (set +o posix) 2>/dev/null && set +o posix
  o_setsid=$(command -v setsid)
  mkdir "$o_d/claim" || exit 0
  o_sup=$$
  boot
  started_at $$
  printf '%s %s %s\n' $$ "$o_t" "$o_b" >"$o_d/sup.new" && mv "$o_d/sup.new" "$o_d/sup" || never
  mkfifo "$o_d/o" "$o_d/e" && exec 6<>"$o_d/o" 7<>"$o_d/e" 8<"$o_d/o" 9<"$o_d/e" || never
  # What does not fit is lost, and that it was is told.
  o_keep='if (ulimit -f "$1" && exec cat); then : >"$2.done"; else cat >/dev/null; : >"$2.cut"; fi'
  setsid sh -c "$o_keep" orch "$o_blocks" "$o_d/o" <&8 >>"$o_d/out" 6>&- 7>&- 8<&- 9<&- &
  setsid sh -c "$o_keep" orch "$o_blocks" "$o_d/e" <&9 >>"$o_d/err" 6>&- 7>&- 8<&- 9<&- &
  exec 8<&- 9<&-
  echo 0 >"$o_d/alive"
  # Room for the last word is taken while there is some.
  printf '%300s\n' ' ' >"$o_d/end.new" || never
  printf '%s\n' "$o_p" | setsid sh -c 'unset o_n o_p; o_r=watch o_d=$1; o_p=$(cat); eval "$o_p"' orch "$o_d" 6>&- 7>&- &
  o_w=$!
  rm -f "$o_d/o" "$o_d/e"
  exec 2>"$o_d/said"
  : >"$o_d/began"
  (
    read -r o_me o_l </proc/self/stat
    started_at "$o_me"
    echo "$o_me $o_t $o_b" >"$o_d/suite.new"
    mv "$o_d/suite.new" "$o_d/suite"
    exec >&6 2>&7 6>&- 7>&-
    umask "$o_um"
    env_
    far_
    cwd_ || exit 126
    # Its own session: what it does to its group does not reach this shell. exec, because the first word may be the
    # name of something that the shell itself would do.
    argv_ exec "$o_setsid"
  )
  o_st=$?
  exec 2>/dev/null
  o_how=exited
  [ "$o_st" -gt 128 ] && [ -s "$o_d/said" ] && { o_how=signalled; o_st=$((o_st - 128)); }
  exec 6>&- 7>&-
  family
  o_left=0
  if [ -n "$o_f" ]; then
    sleep 0.15
    family
    for o_q in $o_f; do o_left=$((o_left + 1)); done
    put_down now
  fi
  o_i=0
  while [ "$o_i" -lt 100 ] && ! { kept o && kept e; }; do
    sleep 0.02
    o_i=$((o_i + 1))
  done
  kill -KILL "-$o_w" 2>/dev/null
  o_cut=yes
  [ -e "$o_d/o.done" ] && [ -e "$o_d/e.done" ] && o_cut=no
  o_late=no
  [ -e "$o_d/expired" ] && o_late=yes
  printf '%s %s %s %s %s %s %s %s\n' "$o_n" "$o_how" "$o_st" "$(bytes "$o_d/out")" "$(bytes "$o_d/err")" "$o_left" "$o_late" "$o_cut" 1<>"$o_d/end.new"
  mv "$o_d/end.new" "$o_d/end"
  exit 0
}

# The suite outlives the last sign of life of a connection by the TTL and no more.
watch() {
  exec </dev/null >/dev/null 2>/dev/null
  trap '' HUP
  o_left=8
  o_last=
  read -r o_sup o_sup_t o_l <"$o_d/sup"
  while ! [ -e "$o_d/end" ]; do
    sleep "$o_tick_s"
    started_at "$o_sup"
    if [ "$o_t" != "$o_sup_t" ]; then
      # Nobody will write an end; what runs on has its TTL all the same.
      family
      [ -z "$o_f" ] && exit 0
    fi
    read -r o_now <"$o_d/alive"
    o_left=$((o_left - 1))
    [ "$o_now" != "$o_last" ] && o_left=8
    o_last=$o_now
    if [ "$o_left" -le 0 ]; then
      : >"$o_d/expired"
      put_down ask
      o_left=8
    fi
  done
}

# The folder of records, which belongs to us and to nobody else.
room() {
  o_fresh=
  [ "$o_mode" != resume ] || for o_base in "${HOME:-/nowhere}/.cache/orch" "/tmp/orch-$(id -u)"; do
    o_d=$o_base/jobs/$o_id
    [ -O "$o_d" ] && ! [ -h "$o_base" ] && [ -O "$o_base" ] && return 0
  done
  for o_base in "${HOME:-/nowhere}/.cache/orch" ''; do
    [ -n "$o_base" ] || o_base=/tmp/orch-$(id -u)
    [ -d "$o_base/jobs" ] || { mkdir -p "$o_base/jobs" && o_fresh=yes; } 2>/dev/null
    if [ -d "$o_base/jobs" ] && ! [ -h "$o_base" ] && [ -O "$o_base" ] && [ -w "$o_base/jobs" ]; then
      o_d=$o_base/jobs/$o_id
      { printf '%4096s' ' ' >"$o_base/jobs/.room.$$"; } 2>/dev/null && { rm -f "$o_base/jobs/.room.$$"; return 0; }
      rm -f "$o_base/jobs/.room.$$"
    fi
  done
  return 1
}

# Records of a week ago, of commands that are over.
tidy() {
  for o_q in "$o_base"/jobs/*/; do
    [ -n "$(find "$o_q" -prune -mtime +7 2>/dev/null)" ] || continue
    if ! [ -e "$o_q/end" ] && [ -s "$o_q/sup" ]; then
      read -r o_sup o_sup_t o_l <"$o_q/sup"
      started_at "$o_sup"
      [ "$o_t" = "$o_sup_t" ] && continue
    fi
    rm -rf "$o_q"
  done
}

# What the client says while the session lives: b life, stop, kill, done; $1 is who hands the output on.
listen() {
  o_i=0
  while read -r o_word; do
    case $o_word in
      b) o_i=$((o_i + 1)); { echo "$$.$o_i" >"$o_d/alive"; } 2>/dev/null ;;
      stop | kill)
        # Its own end came first, and is on its way.
        if over; then say over; elif [ "$o_word" = stop ]; then put_down ask; else put_down now; fi ;;
      done) rm -rf "$o_d"; exit 0 ;;
    esac
  done
  kill -TERM $1 $$
}

# Hands on what is there, and what comes, until the end is there and all of it was handed on.
stream() {
  exec 4<"$o_d/out" 5<"$o_d/err"
  [ "$o_from_out" -gt 0 ] && dd bs=1 count=0 skip="$o_from_out" <&4 2>/dev/null
  [ "$o_from_err" -gt 0 ] && dd bs=1 count=0 skip="$o_from_err" <&5 2>/dev/null
  printf '\nORCH %s out\n' "$o_n"
  o_s=
  [ -s "$o_d/suite" ] && read -r o_s o_l <"$o_d/suite"
  say begin "$o_s"
  o_i=0
  while :; do
    o_over=
    [ -e "$o_d/end" ] && o_over=yes
    cat <&4 || exit 0
    cat <&5 >&2 || exit 0
    [ -n "$o_over" ] && break
    o_i=$((o_i + 1))
    if [ "$o_i" -lt 8 ]; then sleep 0.01; elif [ "$o_i" -lt 24 ]; then sleep 0.05; else sleep 0.15; fi
    if [ "$((o_i % 16))" = 0 ]; then
      started_at "$o_sup"
      [ "$o_t" = "$o_st" ] || [ -e "$o_d/end" ] || { gone; return; }
    fi
  done
  read -r o_l <"$o_d/end"
  say end "$o_l"
}
gone() {
  put_down now
  say gone
}

# What stands of a job: begun and watched, begun and left by its supervisor, or never begun, and never to begin.
resume() {
  if ! [ -d "$o_d" ]; then
    # It never began, or its record was removed under it: then it may run, or the folder of all records is a new one.
    family
    [ -n "$o_f$o_fresh" ] && { gone; return; }
    mkdir -p "$o_d" 2>/dev/null
  fi
  o_i=0
  while ! [ -e "$o_d/began" ] && ! [ -e "$o_d/end" ]; do
    if mkdir "$o_d/claim" 2>/dev/null; then
      # A claim that was removed with its record: what it was for still carries the mark.
      family
      [ -n "$o_f" ] && { gone; return; }
      : >"$o_d/void"
      say void
      return
    fi
    [ -e "$o_d/void" ] && { say void; return; }
    o_i=$((o_i + 1))
    [ "$o_i" -gt 100 ] && { gone; return; }
    sleep 0.05
  done
  o_sup=none o_st=none o_b1=none
  [ -s "$o_d/sup" ] && read -r o_sup o_st o_b1 <"$o_d/sup"
  if ! [ -e "$o_d/end" ]; then
    boot
    started_at "$o_sup"
    { [ "$o_b" = "$o_b1" ] && [ "$o_t" = "$o_st" ]; } || { [ -e "$o_d/end" ] || { gone; return; }; }
  fi
  : >>"$o_d/out"
  : >>"$o_d/err"
  stream
}

# What earlier attempts left here ends before anything of this one begins.
clear_olds() {
  for o_o in $o_olds; do
    o_was=over
    for o_there in "${HOME:-/nowhere}/.cache/orch" "/tmp/orch-$(id -u)"; do
      [ -O "$o_there/jobs/$o_o" ] || continue
      (
        o_d=$o_there/jobs/$o_o
        o_id=$o_o
        end_old
      )
      case $? in
        0) ;;
        3) o_was=ran ;;
        *) say stuck "$o_o"; return 1 ;;
      esac
    done
    say cleared "$o_o" "$o_was"
  done
}
end_old() { # 0 where nothing ran, 3 where it was ended, 4 where it does not end
  [ -e "$o_d/end" ] && return 0
  # One that has not begun never will.
  mkdir "$o_d/claim" 2>/dev/null && { : >"$o_d/void"; return 0; }
  o_i=0
  while ! [ -s "$o_d/suite" ] && ! [ -e "$o_d/end" ] && ! [ -e "$o_d/void" ] && [ "$o_i" -lt 100 ]; do
    sleep 0.05
    o_i=$((o_i + 1))
  done
  family
  [ -z "$o_f" ] && return 0
  put_down ask
  family
  [ -z "$o_f" ] && return 3
  return 4
}

# Runs a function that ends in an exec of setsid, within o_look_s; 137 where it took longer.
bounded() {
  ("$@") </dev/null &
  o_c=$!
  (
    o_i=0
    while [ "$o_i" -lt "$o_look_s" ] && kill -0 "$o_c"; do
      sleep 1
      o_i=$((o_i + 1))
    done
    kill -KILL "-$o_c" || kill -KILL "$o_c"
  ) >/dev/null 2>&1 &
  o_k=$!
  wait "$o_c"
  o_rc=$?
  kill "$o_k" 2>/dev/null
  return "$o_rc"
}
# A text as one line.
flat() {
  set -f
  set -- $1
  printf '%s' "$*"
}

find_program() {
  case $1 in
    */*) [ -f "$1" ] && [ -x "$1" ]; return ;;
  esac
  IFS=:
  for o_t in $PATH; do [ -f "$o_t/$1" ] && [ -x "$o_t/$1" ] && return; done
  return 1
}

launch() {
  o_um=$(umask)
  umask 077
  exec 3<&0 </dev/null
  say here 1
  for o_t in cat dd grep id kill mkdir mkfifo mv rm setsid sleep tr wc; do
    command -v "$o_t" >/dev/null 2>&1 || { say missing "$o_t"; return; }
  done
  o_setsid=$(command -v setsid)
  [ -r /proc/self/stat ] || { say missing /proc; return; }
  room || { say room; return; }
  [ "$o_mode" != check ] || tidy
  [ "$o_mode" != start ] || clear_olds || return
  if [ "$o_mode" != resume ]; then
    ( cwd_ ) 2>/dev/null || { say cwd; return; }
    ( env_; cwd_; argv_ find_program ) || { say program; return; }
    seen_ || return
  fi
  [ "$o_mode" = check ] && { say ready; return; }
  if [ "$o_mode" = start ]; then
    mkdir "$o_d" 2>/dev/null || { say taken; return; }
    : >"$o_d/out"
    : >"$o_d/err"
    hand_on &
    o_ear=$!
    listen "$o_ear" <&3 &
    o_ear="$o_ear $!"
    exec 3<&-
    # In the foreground: what a shell starts behind `&` is deaf to INT and QUIT for ever, and so would the suite be. When
    # the link breaks this shell is ended by `listen`, and the supervisor, in its own session, is not.
    printf '%s\n' "$o_p" | setsid sh -c 'unset o_n o_p; o_r=supervise o_d=$1 o_um=$2; o_p=$(cat); eval "$o_p"' orch "$o_d" "$o_um" >/dev/null 2>&1
  else
    listen '' <&3 &
    o_ear=$!
    resume
  fi
  wait $o_ear
}
hand_on() {
  o_i=0
  while ! [ -s "$o_d/suite" ] && ! [ -e "$o_d/end" ] && ! [ -e "$o_d/void" ] && [ "$o_i" -lt 400 ]; do
    sleep 0.005
    o_i=$((o_i + 1))
  done
  [ -e "$o_d/void" ] && { say room; return; }
  resume
}

"$o_r"
