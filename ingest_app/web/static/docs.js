// In a file of its own because the Content-Security-Policy allows no script inside the page.
SwaggerUIBundle({
  dom_id: "#docs",
  url: document.getElementById("docs").dataset.document,
  deepLinking: true,
  // The default sends the document to a validator on another host.
  validatorUrl: null,
});
