# The far side of a staging-runner. POSIX sh on Linux; nothing is installed. It comes over stdin, behind a header that
# sets: n nonce, id attempt, mode, tick_s, grace_s, blocks, from_out, from_err, olds (attempts to be ended before this one
# starts), and the functions argv_, env_, cwd_, seen_.
# r says whose part is played: launch (the ssh session), supervise, watch. p holds this very text. `argv_ x y` runs x y
# with the words of the command behind it.
# The nonce is in no argument, no environment and no file until the suite has ended.
say() { printf '\nORCH %s %s\n' "$n" "$*" >&2; }

# Processes of the suite: those of its session, and those that carry the attempt's mark. A session's number may be
# another's by now (the host was started anew, the number was used again): it counts while its leader is the one that
# was noted, or for the one who has waited for that leader.
family() {
  f=
  s=0
  [ -s "$d/suite" ] && read -r s s_t s_b <"$d/suite"
  if [ "$s" != 0 ] && [ "$r" != supervise ]; then
    boot
    started_at "$s"
    { [ "$b" = "$s_b" ] && [ "$t" = "$s_t" ]; } || s=0
  fi
  if [ -z "$nul" ]; then
    # A grep that stops at NUL bytes finds no mark in an environment.
    printf 'a\000b\n' | LC_ALL=C grep -q b && nul=seen || nul=stops
  fi
  for q in $([ "$s" = 0 ] || LC_ALL=C grep -lE "^[0-9]+ \(.*\) [^Z ] [0-9-]+ [0-9-]+ $s " /proc/[0-9]*/stat 2>/dev/null; marked); do
    q=${q#/proc/}
    q=${q%/*}
    case " $f " in *" $q "*) ;; *) [ -d "/proc/$q" ] && f="$f $q" ;; esac
  done
}
marked() {
  if [ "$nul" = seen ]; then
    LC_ALL=C grep -l "ORCH_FAR_ATTEMPT=$id" /proc/[0-9]*/environ 2>/dev/null
    return
  fi
  for q in /proc/[0-9]*; do
    [ -O "$q" ] && tr '\000' '\n' <"$q/environ" 2>/dev/null | grep -q "^ORCH_FAR_ATTEMPT=$id\$" && echo "$q/environ"
  done
}
hit() { [ -n "$f" ] && kill "$1" $f 2>/dev/null; }
# Asks, waits the grace, kills; $1 is `now` for no grace. Bounded, as everything here is.
put_down() {
  i=0
  if [ "$1" != now ]; then
    family
    hit -TERM
    hit -CONT
    while [ "$i" -lt "$((grace_s * 10))" ] && [ -n "$f" ]; do
      sleep 0.1
      i=$((i + 1))
      [ -e "$d/end" ] && return
      family
    done
  fi
  i=0
  while [ "$i" -lt 40 ]; do
    family
    [ -z "$f" ] && return
    hit -KILL
    sleep 0.05
    i=$((i + 1))
  done
}
started_at() { # of process $1: its start time, which no later process of that number shares
  { read -r l <"/proc/$1/stat"; } 2>/dev/null || { t=none; return; }
  l=${l##*) }
  set -- $l
  case $1 in Z | X) t=none ;; *) shift 19; t=$1 ;; esac
}
# Each process less is a millisecond less.
bytes() { if [ -s "$1" ]; then wc -c <"$1"; else echo 0; fi; }
boot() { read -r b </proc/sys/kernel/random/boot_id || b=none; }

supervise() {
  exec </dev/null >/dev/null 2>/dev/null
  # A trap, and not deafness, which the suite would inherit.
  trap ':' HUP TERM INT
  mkdir "$d/claim" || exit 0
  sup=$$
  boot
  started_at $$
  printf '%s %s %s\n' $$ "$t" "$b" >"$d/sup.new" && mv "$d/sup.new" "$d/sup" || exit 0
  mkfifo "$d/o" "$d/e" && exec 6<>"$d/o" 7<>"$d/e" 8<"$d/o" 9<"$d/e" || exit 0
  keep='(ulimit -f "$1" && exec cat); cat >/dev/null; : >"$2"'
  setsid sh -c "$keep" orch "$blocks" "$d/o.done" <&8 >>"$d/out" 6>&- 7>&- 8<&- 9<&- &
  setsid sh -c "$keep" orch "$blocks" "$d/e.done" <&9 >>"$d/err" 6>&- 7>&- 8<&- 9<&- &
  exec 8<&- 9<&-
  echo 0 >"$d/alive"
  # Room for the last word is taken while there is some.
  printf '%300s\n' ' ' >"$d/end.new" || exit 0
  printf '%s\n' "$p" | setsid sh -c 'r=watch d=$1; p=$(cat); eval "$p"' orch "$d" 6>&- 7>&- &
  w=$!
  rm -f "$d/o" "$d/e"
  exec 2>"$d/said"
  : >"$d/began"
  (
    read -r me l </proc/self/stat
    started_at "$me"
    echo "$me $t $b" >"$d/suite.new"
    mv "$d/suite.new" "$d/suite"
    exec >&6 2>&7 6>&- 7>&-
    umask "$um"
    env_
    export ORCH_FAR_ATTEMPT="$id"
    cwd_ || exit 126
    # Its own session: what it does to its group does not reach this shell. exec, because the first word may be the
    # name of something that the shell itself would do.
    argv_ exec setsid
  )
  st=$?
  exec 2>/dev/null
  how=exited
  [ "$st" -gt 128 ] && [ -s "$d/said" ] && { how=signalled; st=$((st - 128)); }
  exec 6>&- 7>&-
  family
  left=0
  if [ -n "$f" ]; then
    sleep 0.15
    family
    for q in $f; do left=$((left + 1)); done
    put_down now
  fi
  i=0
  while [ "$i" -lt 100 ] && ! { [ -e "$d/o.done" ] && [ -e "$d/e.done" ]; }; do
    sleep 0.02
    i=$((i + 1))
  done
  kill -KILL -- "-$w" 2>/dev/null
  late=no
  [ -e "$d/expired" ] && late=yes
  printf '%s %s %s %s %s %s %s\n' "$n" "$how" "$st" "$(bytes "$d/out")" "$(bytes "$d/err")" "$left" "$late" 1<>"$d/end.new"
  mv "$d/end.new" "$d/end"
  exit 0
}

# The suite outlives the last sign of life of a connection by the TTL and no more.
watch() {
  exec </dev/null >/dev/null 2>/dev/null
  trap '' HUP
  left=8
  last=
  read -r sup sup_t l <"$d/sup"
  while ! [ -e "$d/end" ]; do
    sleep "$tick_s"
    started_at "$sup"
    if [ "$t" != "$sup_t" ]; then
      # Nobody will write an end; what runs on has its TTL all the same.
      family
      [ -z "$f" ] && exit 0
    fi
    read -r now <"$d/alive"
    left=$((left - 1))
    [ "$now" != "$last" ] && left=8
    last=$now
    if [ "$left" -le 0 ]; then
      : >"$d/expired"
      put_down ask
      left=8
    fi
  done
}

# The folder of records, which belongs to us and to nobody else.
room() {
  for base in "${HOME:-/nowhere}/.cache/orch" ''; do
    [ -n "$base" ] || base=/tmp/orch-$(id -u)
    [ -d "$base/jobs" ] || mkdir -p "$base/jobs" 2>/dev/null
    if [ -d "$base/jobs" ] && ! [ -h "$base" ] && [ -O "$base" ] && [ -w "$base/jobs" ]; then
      d=$base/jobs/$id
      { [ -d "$d" ] || : >"$base/jobs/.room.$$"; } 2>/dev/null && { rm -f "$base/jobs/.room.$$"; return 0; }
    fi
  done
  return 1
}

# What the client says while the session lives: b life, stop, kill, done.
listen() {
  i=0
  while read -r word; do
    case $word in
      b) i=$((i + 1)); echo "$$.$i" >"$d/alive" ;;
      stop | kill)
        if [ "$word" = stop ]; then put_down ask; else put_down now; fi ;;
      done) rm -rf "$d"; exit 0 ;;
    esac
  done
  kill -TERM $$
}

# Hands on what is there, and what comes, until the end is there and all of it was handed on.
stream() {
  exec 4<"$d/out" 5<"$d/err"
  [ "$from_out" -gt 0 ] && dd bs=1 count=0 skip="$from_out" <&4 2>/dev/null
  [ "$from_err" -gt 0 ] && dd bs=1 count=0 skip="$from_err" <&5 2>/dev/null
  printf '\nORCH %s out\n' "$n"
  s=
  [ -s "$d/suite" ] && read -r s l <"$d/suite"
  say begin "$s"
  i=0
  while :; do
    over=
    [ -e "$d/end" ] && over=yes
    cat <&4 || exit 0
    cat <&5 >&2 || exit 0
    [ -n "$over" ] && break
    i=$((i + 1))
    if [ "$i" -lt 8 ]; then sleep 0.01; elif [ "$i" -lt 24 ]; then sleep 0.05; else sleep 0.15; fi
    if [ "$((i % 16))" = 0 ]; then
      started_at "$sup"
      [ "$t" = "$st" ] || [ -e "$d/end" ] || { gone; return; }
    fi
  done
  read -r l <"$d/end"
  say end "$l"
}
gone() {
  put_down now
  say gone
}

# What stands of a job: begun and watched, begun and left by its supervisor, or never begun, and never to begin.
resume() {
  [ -d "$d" ] || mkdir -p "$d" 2>/dev/null
  i=0
  while ! [ -e "$d/began" ] && ! [ -e "$d/end" ]; do
    if mkdir "$d/claim" 2>/dev/null; then
      : >"$d/void"
      say void
      return
    fi
    [ -e "$d/void" ] && { say void; return; }
    i=$((i + 1))
    [ "$i" -gt 100 ] && { say gone; return; }
    sleep 0.05
  done
  sup=none st=none b1=none
  [ -s "$d/sup" ] && read -r sup st b1 <"$d/sup"
  if ! [ -e "$d/end" ]; then
    boot
    started_at "$sup"
    { [ "$b" = "$b1" ] && [ "$t" = "$st" ]; } || { [ -e "$d/end" ] || { gone; return; }; }
  fi
  : >>"$d/out"
  : >>"$d/err"
  stream
}

# What earlier attempts left here ends before anything of this one begins.
clear_olds() {
  for o in $olds; do
    was=over
    for there in "${HOME:-/nowhere}/.cache/orch" "/tmp/orch-$(id -u)"; do
      [ -O "$there/jobs/$o" ] || continue
      (
        d=$there/jobs/$o
        id=$o
        end_old
      )
      case $? in
        0) ;;
        3) was=ran ;;
        *) say stuck "$o"; return 1 ;;
      esac
    done
    say cleared "$o" "$was"
  done
}
end_old() { # 0 where nothing ran, 3 where it was ended, 4 where it does not end
  [ -e "$d/end" ] && return 0
  # One that has not begun never will.
  mkdir "$d/claim" 2>/dev/null && { : >"$d/void"; return 0; }
  i=0
  while ! [ -s "$d/suite" ] && ! [ -e "$d/end" ] && ! [ -e "$d/void" ] && [ "$i" -lt 100 ]; do
    sleep 0.05
    i=$((i + 1))
  done
  family
  [ -z "$f" ] && return 0
  put_down ask
  family
  [ -z "$f" ] && return 3
  return 4
}

find_program() {
  case $1 in
    */*) [ -f "$1" ] && [ -x "$1" ]; return ;;
  esac
  IFS=:
  for t in $PATH; do [ -f "$t/$1" ] && [ -x "$t/$1" ] && return; done
  return 1
}

launch() {
  um=$(umask)
  umask 077
  exec 3<&0 </dev/null
  say here 1
  for t in cat dd grep id kill mkdir mkfifo mv rm setsid sleep tr wc; do
    command -v "$t" >/dev/null 2>&1 || { say missing "$t"; return; }
  done
  [ -r /proc/self/stat ] || { say missing /proc; return; }
  room || { say room; return; }
  [ "$mode" = check ] && find "$base/jobs" -type d -mtime +7 -prune -exec rm -rf '{}' + 2>/dev/null
  [ "$mode" != start ] || clear_olds || return
  if [ "$mode" != resume ]; then
    ( cwd_ ) 2>/dev/null || { say cwd; return; }
    ( env_; cwd_; argv_ find_program ) || { say program; return; }
    seen_ || return
  fi
  [ "$mode" = check ] && { say ready; return; }
  if [ "$mode" = start ]; then
    mkdir "$d" 2>/dev/null || { say taken; return; }
    : >"$d/out"
    : >"$d/err"
    printf '%s\n' "$p" | setsid sh -c 'r=supervise d=$1 um=$2; p=$(cat); eval "$p"' orch "$d" "$um" 3<&- >/dev/null 2>&1 &
    i=0
    while ! [ -s "$d/suite" ] && ! [ -e "$d/end" ] && [ "$i" -lt 400 ]; do
      sleep 0.005
      i=$((i + 1))
    done
    mode=resume
  fi
  listen <&3 &
  ear=$!
  resume
  wait "$ear"
}

"$r"
