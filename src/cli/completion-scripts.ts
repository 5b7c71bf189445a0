/** Completion scripts: they hand the words typed so far to `cairn __complete` and offer what it answers. */
export const completionScripts = {
  bash: `# bash completion for cairn

__cairn_complete() {
  # Bash cuts words at = and :, so they are put together again from the line.
  local rest="\${COMP_LINE:0:COMP_POINT}" word i glued
  local -a words=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    glued=0
    [[ $i -gt 0 && $rest != [[:space:]]* ]] && glued=1
    rest="\${rest#"\${rest%%[![:space:]]*}"}"
    if ((i == COMP_CWORD)); then word="$rest"; else word="\${COMP_WORDS[i]}"; fi
    rest="\${rest#"$word"}"
    if ((glued)); then words[\${#words[@]}-1]+="$word"; else words+=("$word"); fi
  done

  local current="\${words[\${#words[@]}-1]}" directive=1 line
  local -a candidates=()
  while IFS= read -r line; do
    if [[ $line == :+([0-9]) ]]; then directive="\${line#:}"; else candidates+=("$line"); fi
  done < <("\${words[0]}" __completeNoDesc "\${words[@]:1}" 2>/dev/null)

  COMPREPLY=()
  ((directive & 1)) && return
  ((directive & 2)) && compopt -o nospace 2>/dev/null

  # What is typed of the value in --flag=value, and what of the word Bash does not replace.
  local typed="$current" kept="" candidate
  [[ $current == --*=* ]] && typed="\${current#*=}"
  [[ $typed == *[:=]* ]] && kept="\${typed%"\${typed##*[:=]}"}"
  for candidate in "\${candidates[@]}"; do
    [[ $candidate == "$typed"* ]] && COMPREPLY+=("\${candidate#"$kept"}")
  done
  if ((\${#COMPREPLY[@]} == 0)); then
    if ((directive & 16)); then
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$typed")
    elif ((!(directive & 4))); then
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$typed")
    fi
  fi
}

shopt -s extglob
complete -F __cairn_complete cairn
`,
  zsh: `#compdef cairn
compdef _cairn cairn

_cairn() {
  local -a lines candidates
  local line name directive
  lines=("\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  directive="\${lines[-1]#:}"
  lines[-1]=()
  [[ $directive == <-> ]] || return 1
  (( directive & 1 )) && return 1

  # The value of --flag=value is completed on its own.
  [[ \${words[CURRENT]} == --*=* ]] && compset -P '*='

  for line in "\${lines[@]}"; do
    [[ -z $line ]] && continue
    name="\${line%%$'\\t'*}"
    # _describe takes name:description
    name="\${name//:/\\\\:}"
    if [[ $line == *$'\\t'* ]]; then candidates+=("$name:\${line#*$'\\t'}"); else candidates+=("$name"); fi
  done

  local -a options
  (( directive & 2 )) && options=(-S '')
  if (( \${#candidates} )); then
    _describe -t cairn 'cairn' candidates "\${options[@]}"
  elif (( directive & 16 )); then
    _files -/
  elif (( ! (directive & 4) )); then
    _files
  fi
}

# Run at once when the function is autoloaded, not when the script is sourced.
if [ "\${funcstack[1]}" = "_cairn" ]; then
  _cairn "$@"
fi
`,
  fish: `# fish completion for cairn

function __cairn_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    test (count $lines) -gt 0; or return
    set -l directive (string replace -r '^:' '' -- $lines[-1])
    set -l flag (string match -r -- '^--[^=]+=' "$current")
    for line in $lines[1..-2]
        echo -- "$flag$line"
    end
    test (count $lines) -eq 1; or return
    set -l typed (string replace -- "$flag" '' "$current")
    if test $directive -eq 16
        for path in (__fish_complete_directories "$typed" '')
            echo -- "$flag$path"
        end
    else if test $directive -eq 0
        for path in (__fish_complete_path "$typed" '')
            echo -- "$flag$path"
        end
    end
end

complete -c cairn -e
complete -c cairn -f -a '(__cairn_complete)'
`,
} as const
