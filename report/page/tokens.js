(function () {
  'use strict';
  function number(x) {
    var a = Math.abs(x);
    return a < 0.0005 ? '0.000' : (x < 0 ? '\u2212' : '+') + (a < 100 ? a.toFixed(3) : a.toPrecision(4));
  }
  function add(parent, tag, text) {
    var e = document.createElement(tag);
    e.textContent = text;
    parent.appendChild(e);
  }
  // A page may show several texts, each in a box of its own.
  function start(box) {
    var data = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
    var text = box.querySelector('.text');
    var spans = text.querySelectorAll('[data-t]');
    var select = box.querySelector('select');
    var readout = box.querySelector('.readout');
    var names = box.querySelectorAll('.shown');
    var levels = data.levels, shown = select.selectedIndex, at = -1;

    function level(x) {
      var n = Math.round(Math.max(-1, Math.min(1, x / data.scale)) * levels);
      return n > 0 ? 'p' + n : n < 0 ? 'n' + -n : '';
    }
    function tell(span) {
      at = +span.dataset.t;
      spans.forEach(function (s) { s.classList.toggle('at', s === span); });
      var row = data.scores[at];
      var best = row.map(function (_, i) { return i; }).sort(function (a, b) { return row[b] - row[a]; }).slice(0, 5);
      readout.textContent = '';
      add(readout, 'b', 'Token ' + at + ' ' + data.tokens[at] + ': ' + data.emotions[shown] + ' ' + number(row[shown]));
      add(readout, 'div', 'Highest: ' + best.map(function (i) { return data.emotions[i] + ' ' + number(row[i]); }).join(', '));
    }
    function show() {
      shown = select.selectedIndex;
      spans.forEach(function (s) {
        var t = +s.dataset.t;
        s.className = (s.dataset.kind + (t < data.from ? '' : ' ' + level(data.scores[t][shown]))).trim();
      });
      names.forEach(function (n) { n.textContent = data.emotions[shown]; });
      if (at >= 0) { tell(text.querySelector('[data-t="' + at + '"]')); }
    }
    select.addEventListener('change', show);
    ['mouseover', 'click'].forEach(function (kind) {
      text.addEventListener(kind, function (e) {
        var span = e.target.closest('[data-t]');
        if (span) { tell(span); }
      });
    });
    show();
  }
  document.querySelectorAll('.probe').forEach(start);
  document.documentElement.classList.add('on');
})();
