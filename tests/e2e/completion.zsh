# Types command lines into an interactive zsh, presses the tab key, and prints what has become of each: completion.zsh DIRECTORY LINE…
# In DIRECTORY is the completion, _redloop.
zmodload zsh/zpty zsh/zselect
directory=$1
shift
zpty shell 'PS1= PS2= zsh -f -i'
zpty -w shell "fpath=($directory \$fpath); autoload -U compinit; compinit -u -d $directory/dump; setopt no_list_beep
report() { print -r -- \"\$BUFFER\" > $directory/said.new; mv $directory/said.new $directory/said; BUFFER= }
zle -N report; bindkey '^X' report; bindkey '^I' complete-word; print -r ready > $directory/said"
for line in ready "$@"; do
  [[ $line != ready ]] && zpty -w -n shell "$line"$'\t\x18'
  for attempt in {1..1000}; do
    [[ -e $directory/said ]] && break
    # What it prints is to be read, or it waits.
    zpty -r -t shell _ 2> /dev/null
    zselect -t 1
  done
  cat $directory/said && rm $directory/said
done
zpty -d shell
