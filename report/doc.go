// Package report makes pages and figures from results. It reads results in the
// form in which limbic writes them as JSON, and nothing else: a page shows what
// the file says, so that whoever has the file can check the page.
//
// Pages are single HTML files without anything from elsewhere: they open
// offline, can be sent by mail, and still open in ten years. They are complete
// without JavaScript, which only adds choice and hover values. Their content
// security policy allows the page's own style and script by hash and nothing
// more, so that even a text that was made to break out could not load or send
// anything; that is why colours are classes and never style attributes.
package report
