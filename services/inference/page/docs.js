// The page to try the API: Swagger UI over the document that the service itself serves.
window.addEventListener("DOMContentLoaded", () => {
  SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#api",
    deepLinking: true,
    defaultModelsExpandDepth: 0,  // the schemas are a long list: folded
    validatorUrl: null,  // no request leaves for anywhere else
    persistAuthorization: false,
  });
});
