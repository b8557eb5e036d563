(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  const runs = [...document.querySelectorAll("details.run")];
  const texts = new Map(runs.map((run) => [run, run.textContent.toLowerCase()]));
  const words = document.getElementById("words");
  const status = document.getElementById("status");
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    runs.forEach((run) => {
      const fits = wanted.every((word) => texts.get(run).includes(word)) &&
        (!status.value || run.dataset.status === status.value);
      run.hidden = !fits;
      shown += fits;
    });
    document.getElementById("shown").textContent = `${shown} of ${runs.length} runs`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  // a link to a run opens it
  const follow = () => {
    const run = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (run && run.matches("details.run")) { run.open = true; run.scrollIntoView(); }
  };
  window.addEventListener("hashchange", follow);
  document.documentElement.classList.add("scripted");
  filter();
  follow();
})();
