package redistest

// TakeDatabase lets tests take databases of a server of their own.
var TakeDatabase = takeDatabase
